// The keys of a collection in order: each vbucket is scanned in key order by the server, a merge over
// the vbuckets makes one order of them. Memory: one short run of keys for each vbucket.

import { TidegateError } from "../../../base/errors.ts";
import type { PipelinedClient } from "../kv/pipelined-client.ts";
import { type Patience, patiently } from "../kv/retry.ts";
import type { Frame } from "../wire/frame.ts";
import { nameOf, Opcode, Status } from "../wire/opcodes.ts";

/** Keys read from one vbucket at a time. */
const RUN_KEYS = 64;
/** How long the server may work on one run. */
const RUN_TIME_MS = 5_000;
/** Vbuckets asked at once. */
const MAX_SCANS_AT_ONCE = 32;

/** A range of keys by their UTF-8 bytes; `after` and `before` are not in it. */
export interface ScanRange {
  readonly from?: { readonly key: string; readonly included: boolean };
  readonly to?: { readonly key: string; readonly included: boolean };
}

interface Run {
  readonly vb: number;
  keys: Buffer[];
  at: number;
  complete: boolean;
  /** The last key of the run before. */
  last: Buffer | undefined;
}

/** Scans of one collection. */
export class RangeScan {
  readonly #client: PipelinedClient;
  readonly #collectionId: number;
  readonly #vbuckets: number;
  readonly #patience: Patience;

  constructor(client: PipelinedClient, collectionId: number, vbuckets: number, patience: Patience) {
    this.#client = client;
    this.#collectionId = collectionId;
    this.#vbuckets = vbuckets;
    this.#patience = patience;
  }

  /** The keys of `range` in the order of their bytes. */
  async *keys(range: ScanRange): AsyncIterable<string> {
    const runs: Run[] = [];
    for (let vb = 0; vb < this.#vbuckets; vb++) {
      runs.push({ vb, keys: [], at: 0, complete: false, last: undefined });
    }
    await this.#fill(runs, range);
    const heap = new RunHeap(runs.filter((run) => run.keys.length > 0));
    for (let run = heap.first(); run !== undefined; run = heap.first()) {
      yield (run.keys[run.at] as Buffer).toString("utf8");
      run.at++;
      if (run.at === run.keys.length && !run.complete) await this.#refill(run, range);
      heap.settleFirst(run.at < run.keys.length);
    }
  }

  /** The keys that start with `prefix` and are greater than `after`, in order, at most `limit`. */
  async keysWithPrefix(
    prefix: string,
    options: { after?: string; limit: number },
  ): Promise<string[]> {
    const { after, limit } = options;
    const from =
      after === undefined || after < prefix
        ? { key: prefix, included: true }
        : { key: after, included: false };
    const keys: string[] = [];
    if (limit === 0) return keys;
    for await (const key of this.keys({ from })) {
      if (!key.startsWith(prefix)) break;
      keys.push(key);
      if (keys.length === limit) break;
    }
    return keys;
  }

  async #fill(runs: readonly Run[], range: ScanRange): Promise<void> {
    for (let at = 0; at < runs.length; at += MAX_SCANS_AT_ONCE) {
      const some = runs.slice(at, at + MAX_SCANS_AT_ONCE);
      await Promise.all(some.map((run) => this.#refill(run, range)));
    }
  }

  async #refill(run: Run, range: ScanRange): Promise<void> {
    // A run may come back empty and unfinished when the server's time for it was up.
    do {
      run.last = run.keys[run.keys.length - 1] ?? run.last;
      await patiently(this.#patience, () => this.#scanOnce(run, range));
    } while (run.keys.length === 0 && !run.complete);
  }

  /** Reads the run after `run.last`. A scan that got lost with its node is begun anew from there. */
  async #scanOnce(run: Run, range: ScanRange): Promise<void> {
    const { last } = run;
    run.keys = [];
    run.at = 0;
    const uuid = await this.#create(run.vb, range, last);
    if (uuid === undefined) {
      run.complete = true;
      return;
    }
    const extras = Buffer.alloc(28);
    uuid.copy(extras);
    extras.writeUInt32BE(RUN_KEYS, 16);
    extras.writeUInt32BE(RUN_TIME_MS, 20);
    const frames = await this.#client.sendForMany(
      run.vb,
      { opcode: Opcode.rangeScanContinue, extras },
      (frame) => frame.status === Status.success,
    );
    for (const frame of frames) run.keys.push(...keysOf(frame));
    const end = frames[frames.length - 1] as Frame;
    run.complete = end.status === Status.rangeScanComplete;
    if (end.status === Status.rangeScanMore) {
      await this.#client.send(run.vb, { opcode: Opcode.rangeScanCancel, extras: uuid }, true);
    } else if (!run.complete) {
      throw refused("a range scan", end);
    }
  }

  /** Starts a scan after `last`; undefined when the vbucket has nothing there. */
  async #create(
    vb: number,
    range: ScanRange,
    last: Buffer | undefined,
  ): Promise<Buffer | undefined> {
    const base64 = (key: string | Buffer) => Buffer.from(key as string).toString("base64");
    const { from, to } = range;
    const start =
      last !== undefined
        ? { excl_start: base64(last) }
        : { [from?.included === false ? "excl_start" : "start"]: base64(from?.key ?? "") };
    // No UTF-8 text has the byte 0xff: it stands after every key.
    const end =
      to === undefined
        ? { end: Buffer.from([0xff]).toString("base64") }
        : { [to.included ? "end" : "excl_end"]: base64(to.key) };
    const value = JSON.stringify({
      collection: this.#collectionId.toString(16),
      key_only: true,
      range: { ...start, ...end },
    });
    const answer = await this.#client.send(
      vb,
      { opcode: Opcode.rangeScanCreate, value: Buffer.from(value), dataType: 1 },
      true,
    );
    if (answer.status === Status.keyNotFound) return undefined;
    if (answer.status !== Status.success) throw refused("the start of a range scan", answer);
    return Buffer.from(answer.value);
  }
}

/** Keys stand one after the other, each behind its length as unsigned LEB128. */
function keysOf(frame: Frame): Buffer[] {
  const keys: Buffer[] = [];
  const bytes = frame.value;
  let at = 0;
  while (at < bytes.length) {
    let length = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++];
      if (byte === undefined || shift > 21) {
        throw new TidegateError("corrupt", "A range scan's key has no length.");
      }
      length |= (byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    // A copy: the frame's chunk must not live as long as the run.
    keys.push(Buffer.from(bytes.subarray(at, at + length)));
    at += length;
  }
  return keys;
}

/** A binary heap of runs by their next key. */
class RunHeap {
  readonly #runs: Run[];

  constructor(runs: readonly Run[]) {
    this.#runs = [...runs].sort(byNextKey);
  }

  first(): Run | undefined {
    return this.#runs[0];
  }

  /** The first run has moved on; `more`: it still has keys. */
  settleFirst(more: boolean): void {
    const runs = this.#runs;
    if (!more) {
      const last = runs.pop() as Run;
      if (runs.length === 0) return;
      runs[0] = last;
    }
    let at = 0;
    for (;;) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2]) {
        const run = runs[child];
        if (run !== undefined && byNextKey(run, runs[least] as Run) < 0) least = child;
      }
      if (least === at) return;
      const moved = runs[at] as Run;
      runs[at] = runs[least] as Run;
      runs[least] = moved;
      at = least;
    }
  }
}

function byNextKey(a: Run, b: Run): number {
  return Buffer.compare(a.keys[a.at] as Buffer, b.keys[b.at] as Buffer);
}

function refused(what: string, answer: Frame): TidegateError {
  return new TidegateError(
    "unavailable",
    `Couchbase answered ${what} with ${nameOf(Status, answer.status)}.`,
  );
}
