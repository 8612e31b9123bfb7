// Random operations against a model that is as plain as can be, in random groups, reopened at random.

import { expect, test } from "bun:test";
import fc from "fast-check";
import type {
  DocumentWriteResult,
  KeyValueOperation,
  KeyValueResult,
} from "../../src/bucket/bucket.ts";
import type { EmbeddedBucket } from "../../src/bucket/embedded/embedded-bucket.ts";
import { INLINE_APPEND_BYTES } from "../../src/bucket/embedded/limits.ts";
import { vbucketOf } from "../../src/bucket/vbucket.ts";
import {
  bytes,
  fromZero,
  newDirectory,
  open,
  readToEnd,
  removeDirectory,
  text,
} from "./support.ts";

const VBUCKETS = 4;
const KEYS = ["a", "b", "é", "d", "_sync:e", "f"];
const SIZES = [0, 1, 40, INLINE_APPEND_BYTES - 1, INLINE_APPEND_BYTES + 1, 6000];

interface ModelDocument {
  cas: bigint;
  seq: number;
  body: string | undefined;
  xattrs: Record<string, string>;
  purged: boolean;
}

interface ModelValue {
  cas: bigint;
  value: string;
}

/** What CAS an operation is done with. */
type CasChoice = "right" | "none" | "wrong";

type Step =
  | { kind: "write"; key: string; cas: CasChoice; body: string | null; xattrs: [string, number][] }
  | { kind: "purge"; key: string; cas: CasChoice }
  | { kind: "value"; collection: "metadata" | "index"; run: ValueStep[] }
  | { kind: "reopen" };

type ValueStep = {
  op: KeyValueOperation["op"];
  key: string;
  cas: CasChoice;
  size: number;
  fill: number;
};

const key = fc.constantFrom(...KEYS);
const cas = fc.constantFrom<CasChoice>("right", "right", "right", "none", "wrong");
const name = fc.constantFrom("_sync", "_x", "user", "other");
const valueStep: fc.Arbitrary<ValueStep> = fc.record({
  op: fc.constantFrom("insert", "upsert", "replace", "remove", "counter", "touch", "append").chain(
    // Half of all operations append: chunks and their merging are where the work is.
    (op) => fc.constantFrom(op as KeyValueOperation["op"], "append" as const),
  ),
  key,
  cas,
  size: fc.constantFrom(...SIZES),
  fill: fc.integer({ min: 48, max: 57 }),
});
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant("write" as const),
      key,
      cas,
      body: fc.option(fc.string({ maxLength: 20 })),
      xattrs: fc.array(fc.tuple(name, fc.nat(9)), { maxLength: 3 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("purge" as const), key, cas }) },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("value" as const),
      collection: fc.constantFrom("metadata" as const, "index" as const),
      run: fc.array(valueStep, { minLength: 1, maxLength: 40 }),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: "reopen" as const }) },
);

/** The model, which also says what each operation must answer. */
class Model {
  readonly documents = new Map<string, ModelDocument>();
  readonly values = {
    metadata: new Map<string, ModelValue>(),
    index: new Map<string, ModelValue>(),
  };
  readonly highs = new Array<number>(VBUCKETS).fill(0);

  casOf(choice: CasChoice, current: bigint | undefined): bigint {
    if (choice === "none") return 0n;
    if (choice === "right") return current ?? 0n;
    // An older one: a greater one may be what the next change in the same batch is given.
    return current === undefined ? 1n : current - 1n;
  }

  document(key: string): ModelDocument | undefined {
    const found = this.documents.get(key);
    return found?.purged ? undefined : found;
  }

  /** Takes the outcome of a write, having checked that it is the right one. */
  put(
    key: string,
    given: bigint,
    purge: boolean,
    change: { body: string | null; xattrs: Record<string, number> },
    result: DocumentWriteResult,
  ): void {
    const before = this.document(key);
    let refusal: string | undefined;
    if (before === undefined) refusal = given === 0n && !purge ? undefined : "not_found";
    else if (before.cas !== given) refusal = given === 0n && !purge ? "exists" : "cas_mismatch";
    if (refusal !== undefined) {
      expect(result).toEqual({ ok: false, refusal } as DocumentWriteResult);
      return;
    }
    const vb = vbucketOf(key, VBUCKETS);
    const seq = ++(this.highs as { [vb: number]: number })[vb]!;
    expect(result).toMatchObject({ ok: true, vb, seq });
    const merged: [string, string][] = Object.entries(before?.xattrs ?? {});
    for (const [name, value] of Object.entries(change.xattrs)) merged.push([name, `${value}`]);
    const kept = merged.filter(([name]) => !purge && (change.body !== null || name[0] === "_"));
    this.documents.set(key, {
      cas: result.ok ? result.cas : 0n,
      seq,
      body: purge ? undefined : (change.body ?? undefined),
      xattrs: Object.fromEntries(kept),
      purged: purge,
    });
  }

  /** The answer that an operation on a value must have, apart from its CAS; takes its effect. */
  value(collection: "metadata" | "index", operation: KeyValueOperation): (cas: bigint) => unknown {
    const values = this.values[collection];
    const { op, key } = operation;
    const before = values.get(key);
    const refuse = (refusal: string) => () => ({ ok: false, refusal });
    const set = (value: string, more = {}) => {
      const after: ModelValue = { cas: -1n, value };
      values.set(key, after);
      return (cas: bigint) => {
        after.cas = cas;
        return { ok: true, cas, ...more };
      };
    };
    if (op === "counter") {
      if (before !== undefined && !/^\d{1,16}$/.test(before.value)) return refuse("not_a_counter");
      const counter =
        before === undefined ? operation.initial : Number(before.value) + operation.delta;
      if (!Number.isSafeInteger(counter)) return refuse("not_a_counter");
      return set(String(counter), { counter });
    }
    if (op === "insert" && before !== undefined) return refuse("exists");
    if (op === "insert" || op === "upsert") return set(latin1(operation.value));
    if (before === undefined) return refuse("not_found");
    if ("cas" in operation && operation.cas !== undefined && operation.cas !== before.cas) {
      return refuse("cas_mismatch");
    }
    if (op === "replace") return set(latin1(operation.value));
    if (op === "append") return set(before.value + latin1(operation.value));
    if (op === "touch") return set(before.value);
    values.delete(key);
    return (cas) => ({ ok: true, cas });
  }
}

const latin1 = (value: Uint8Array) => Buffer.from(value).toString("latin1");

async function valueSteps(bucket: EmbeddedBucket, model: Model, step: Step & { kind: "value" }) {
  const values = model.values[step.collection];
  const operations = step.run.map(({ op, key, cas, size, fill }): KeyValueOperation => {
    const value = new Uint8Array(size).fill(fill);
    if (op === "counter") return { op, key, delta: size, initial: fill };
    if (op === "touch") return { op, key, expiry: 4e9 };
    if (op === "remove") return { op, key };
    if (op === "insert" || op === "upsert") return { op, key, value };
    // The CAS is that of before the batch: after another change in it, it is an old one.
    const given = values.get(key)?.cas;
    if (cas === "none" || given === undefined) return { op, key, value };
    return { op, key, value, cas: model.casOf(cas, given) };
  });
  const expected = operations.map((operation) => model.value(step.collection, operation));
  const results = await bucket[step.collection].batch(operations);
  let last = 0n;
  for (const [index, result] of results.entries()) {
    const cas = result.ok ? result.cas : 0n;
    expect(result).toEqual(expected[index]?.(cas) as KeyValueResult);
    if (!result.ok) continue;
    expect(cas).toBeGreaterThan(last);
    last = cas;
  }
}

async function compare(bucket: EmbeddedBucket, model: Model): Promise<void> {
  const documents = await bucket.documents.getMany(KEYS);
  for (const [index, key] of KEYS.entries()) {
    const expected = model.document(key);
    const found = documents[index];
    expect(found?.cas).toBe(expected?.cas as bigint);
    expect(text(found?.body)).toBe(expected?.body);
    expect(found?.xattrs).toEqual(expected?.xattrs);
  }
  const live = KEYS.filter((key) => model.document(key)?.body !== undefined);
  expect(await bucket.documents.count()).toBe(live.filter((key) => key !== "_sync:e").length);
  for (const collection of ["metadata", "index"] as const) {
    const expected = model.values[collection];
    const found = await bucket[collection].getMany(KEYS);
    for (const [index, key] of KEYS.entries()) {
      const value = found[index];
      expect(value && latin1(value.value)).toBe(expected.get(key)?.value);
      expect(value?.cas).toBe(expected.get(key)?.cas as bigint);
    }
    const keys = [...expected.keys()].sort((a, b) =>
      Buffer.compare(Buffer.from(a), Buffer.from(b)),
    );
    expect(await bucket[collection].keys("", { limit: 100 })).toEqual(keys);
  }
  const until = await bucket.feed.highSeqs();
  expect([...until]).toEqual(model.highs);
  const events = await readToEnd(bucket.feed.open(fromZero(0, 1, 2, 3), { until }));
  const told = events.flatMap((event) =>
    "key" in event ? [[event.key, event.seq, text(event.body)] as const] : [],
  );
  const expected = [...model.documents].map(([key, { seq, body }]) => [key, seq, body] as const);
  const sorted = (rows: typeof told) => rows.toSorted((a, b) => (a[0] < b[0] ? -1 : 1));
  expect(sorted(told)).toEqual(sorted(expected));
}

test("any operations in any groups leave the bucket as a plain map would be", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(step, { maxLength: 12 }), { maxLength: 8 }),
      async (groups) => {
        const directory = newDirectory();
        let bucket = await open(directory, { vbuckets: VBUCKETS });
        const model = new Model();
        for (const group of groups) {
          for (const one of group) {
            if (one.kind === "value") await valueSteps(bucket, model, one);
            if (one.kind !== "reopen") continue;
            await bucket.close();
            bucket = await open(directory);
          }
          // All documents' writes of a group at once, each key once: their CAS is known before.
          const writes = new Map<string, () => Promise<void>>();
          for (const one of group) {
            if (one.kind !== "write" && one.kind !== "purge") continue;
            if (writes.has(one.key)) continue;
            const { documents } = bucket;
            const given = model.casOf(one.cas, model.document(one.key)?.cas);
            const change =
              one.kind === "write"
                ? { body: one.body, xattrs: Object.fromEntries(one.xattrs) }
                : { body: null, xattrs: {} };
            const body = change.body === null ? null : bytes(change.body);
            const doing = () =>
              one.kind === "purge"
                ? documents.purge(one.key, given)
                : documents.write({ ...change, key: one.key, cas: given, body, macros: [] });
            writes.set(one.key, async () => {
              model.put(one.key, given, one.kind === "purge", change, await doing());
            });
          }
          await Promise.all([...writes.values()].map((run) => run()));
        }
        await compare(bucket, model);
        await bucket.close();
        const again = await open(directory);
        await compare(again, model);
        await again.close();
        removeDirectory(directory);
      },
    ),
    { numRuns: 60 },
  );
}, 60_000);
