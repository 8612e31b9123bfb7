// The controller's binary layouts: round trips, and what truncated and corrupted bytes give.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { isTidegateError } from "../../src/base/errors.ts";
import type { Tick } from "../../src/clock/tick.ts";
import {
  decodeCluster,
  decodeHead,
  decodePartition,
  decodeRollbacks,
  encodeCluster,
  encodeHead,
  encodePartition,
  encodeRollbacks,
} from "../../src/controller/records.ts";

const seq = fc.oneof(fc.nat(1000), fc.maxSafeNat());
const uint = fc.integer({ min: 0, max: 2 ** 31 });
const uuid = fc
  .uint8Array({ minLength: 8, maxLength: 8 })
  .map((b) => Buffer.from(b).toString("hex"));
const log = fc.array(fc.record({ vbuuid: uuid, seq }), { maxLength: 4 });
const vbucket = fc.tuple(seq, seq, fc.boolean(), log).map(([a, b, same, branches]) => ({
  clock: Math.max(a, b),
  position: same ? Math.max(a, b) : Math.min(a, b),
  log: branches,
}));
const text = fc.string({ maxLength: 40, unit: "grapheme" });

const partition = fc.record({
  partition: uint,
  epoch: uint,
  owner: text,
  firstVb: uint,
  vbuckets: fc.array(vbucket, { maxLength: 8 }),
});
const cluster = fc.record({
  epoch: uint,
  owner: text,
  host: text,
  pid: uint,
  beat: uint,
  released: fc.boolean(),
});
const hashes = fc.array(fc.integer({ min: 0, max: 2 ** 32 - 1 }), { maxLength: 5 });
const changed = fc.oneof(
  fc.constant("unknown" as const),
  hashes.map((list) => new Set(list) as ReadonlySet<number>),
);
const head = fc
  .tuple(
    uint,
    uint,
    fc.array(seq, { minLength: 1, maxLength: 9 }),
    uint,
    fc.array(changed, { maxLength: 6 }),
  )
  .map(([epoch, rollbacks, clock, since, list]) => ({
    epoch,
    rollbacks,
    since: since as Tick,
    stable: { tick: (since + list.length) as Tick, clock: Float64Array.from(clock) },
    recent: list.map((one, i) => ({ tick: (since + i + 1) as Tick, changed: one })),
  }));
const rollback = fc.record({
  vb: fc.nat(65535),
  seq,
  tick: fc.maxSafeNat().map((tick) => tick as Tick),
});

/** Every decoder with bytes that it must read. */
const samples = fc.oneof(
  partition.map((one) => ({ bytes: encodePartition(one), decode: decodePartition })),
  cluster.map((one) => ({ bytes: encodeCluster(one), decode: decodeCluster })),
  head.map((one) => ({ bytes: encodeHead(one), decode: decodeHead })),
  fc
    .array(rollback, { maxLength: 5 })
    .map((list) => ({ bytes: encodeRollbacks(list.length + 2, list), decode: decodeRollbacks })),
);

describe("layouts of the controller", () => {
  test("a partition clock reads back as it was written", () => {
    fc.assert(
      fc.property(partition, (one) =>
        expect(decodePartition(encodePartition(one), "p")).toEqual(one),
      ),
    );
  });

  test("a cluster document reads back as it was written", () => {
    fc.assert(
      fc.property(cluster, (one) => expect(decodeCluster(encodeCluster(one), "c")).toEqual(one)),
    );
  });

  test("a head reads back as it was written", () => {
    fc.assert(fc.property(head, (one) => expect(decodeHead(encodeHead(one), "h")).toEqual(one)));
  });

  test("rollbacks read back as they were written", () => {
    fc.assert(
      fc.property(fc.array(rollback, { maxLength: 6 }), fc.nat(100), (rollbacks, more) => {
        const version = rollbacks.length + more;
        const bytes = encodeRollbacks(version, rollbacks);
        expect(decodeRollbacks(bytes, "r")).toEqual({ version, rollbacks });
      }),
    );
  });

  test("truncated bytes are corrupt, wherever they are cut", () => {
    fc.assert(
      fc.property(
        samples,
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        ({ bytes, decode }, at) => {
          const cut = bytes.subarray(0, Math.floor(bytes.length * at));
          expect(() => decode(cut, "it")).toThrow(expect.objectContaining({ code: "corrupt" }));
        },
      ),
    );
  });

  test("one wrong bit anywhere is noticed", () => {
    fc.assert(
      fc.property(samples, fc.nat(), fc.nat(7), ({ bytes, decode }, at, bit) => {
        const wrong = bytes.slice();
        const place = at % wrong.length;
        wrong[place] = (wrong[place] as number) ^ (1 << bit);
        expect(() => decode(wrong, "it")).toThrow(expect.objectContaining({ code: "corrupt" }));
      }),
    );
  });

  test("a newer version is refused by name", () => {
    const bytes = encodeCluster({
      epoch: 1,
      owner: "a",
      host: "b",
      pid: 1,
      beat: 0,
      released: false,
    });
    const newer = bytes.slice(0, -4);
    newer[0] = 9;
    const sum = new DataView(new ArrayBuffer(4));
    sum.setUint32(0, Bun.hash.crc32(newer), true);
    const whole = Uint8Array.from([...newer, ...new Uint8Array(sum.buffer)]);
    try {
      decodeCluster(whole, "the cluster");
      throw new Error("it was read");
    } catch (error) {
      expect(isTidegateError(error, "newer_version")).toBe(true);
      expect((error as Error).message).toContain("the cluster has version 9");
    }
  });
});
