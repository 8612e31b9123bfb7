// The check that the index is the pure function of the documents that it is to be: it is computed
// again from the feed and compared, superseded entries aside. For an index at rest.

import { isDeepStrictEqual } from "node:util";
import type { Bucket } from "../bucket/bucket.ts";
import type { FailoverEntry, FeedMutation } from "../bucket/feed.ts";
import type { SeqVector } from "../bucket/vbucket.ts";
import type { Clock } from "../clock/tick.ts";
import { Interval, type Stripe, stripesOf } from "./interval.ts";
import { MAX_DIFFERENCES, VERIFY_STRIPE_MUTATIONS } from "./limits.ts";
import type { Index } from "./open.ts";
import { pseudoChannel } from "./pseudo-channel.ts";
import { channelHash } from "./shape.ts";
import { ALL_CHANNEL, type Entry, EntryFlag, type IndexMutation } from "./types.ts";
import { unlistedBlocks } from "./unlisted.ts";

/** What the index must say of a mutation of the feed. */
export interface ExpectedMutation {
  readonly mutation: IndexMutation;
  /**
   * Removals and withdrawn grants up to this seq may be in the index although the document has
   * forgotten them.
   */
  readonly forgottenUpTo?: number;
}

/**
 * The pure function from a document to what the index says of it; undefined for mutations of which
 * the index has nothing.
 *
 * @param vbuuid the branch that the mutation belongs to
 */
export type MutationOf = (mutation: FeedMutation, vbuuid: string) => ExpectedMutation | undefined;

/** One place where the index is not as it would be made again. */
export interface Difference {
  readonly kind: "missing" | "extra" | "different" | "unlisted";
  readonly channel: string;
  /** What was expected and what was found, for a person. */
  readonly message: string;
}

/** What a check found. */
export interface Verification {
  readonly documents: number;
  readonly entries: number;
  /** The first differences; `differing` counts them all. */
  readonly differences: readonly Difference[];
  readonly differing: number;
}

/** What the index must have of the vbuckets of one stripe. */
interface Expected {
  /** channel -> document id -> entry. */
  readonly channels: Map<string, Map<string, Entry>>;
  readonly newest: Map<string, ExpectedMutation>;
}

/** Compares one index with its documents. */
class Verifier {
  readonly #index: Index;
  readonly #bucket: Bucket;
  readonly #mutationOf: MutationOf;
  readonly #differences: Difference[] = [];
  #differing = 0;
  #documents = 0;
  #entries = 0;

  constructor(index: Index, bucket: Bucket, mutationOf: MutationOf) {
    this.#index = index;
    this.#bucket = bucket;
    this.#mutationOf = mutationOf;
  }

  async run(): Promise<Verification> {
    await this.#index.refreshBranches();
    // What is checked is what is stored, not what this node remembers of it.
    this.#index.documents.distrust();
    const { feed } = this.#bucket;
    const [high, logs] = await Promise.all([feed.highSeqs(), feed.failoverLogs()]);
    for (const stripe of stripesOf(high, VERIFY_STRIPE_MUTATIONS)) {
      const expected = await this.#expect(stripe, high, logs);
      this.#documents += expected.newest.size;
      await this.#compareStripe(stripe, high, expected);
      await this.#checkRecords(expected);
    }
    for (const { channel, key } of await unlistedBlocks(this.#index)) {
      this.#differ("unlisted", channel, `block ${key} has data but is in no list`);
    }
    return {
      documents: this.#documents,
      entries: this.#entries,
      differences: this.#differences,
      differing: this.#differing,
    };
  }

  #differ(kind: Difference["kind"], channel: string, message: string): void {
    this.#differing++;
    if (this.#differences.length < MAX_DIFFERENCES) {
      this.#differences.push({ kind, channel, message });
    }
  }

  /** Computes what must be in the index, from the feed. */
  async #expect(
    stripe: Stripe,
    high: SeqVector,
    logs: readonly (readonly FailoverEntry[])[],
  ): Promise<Expected> {
    const newest = new Map<string, ExpectedMutation>();
    const positions = [];
    for (let vb = stripe.vbFrom; vb < stripe.vbTo; vb++) {
      if (high[vb]! === 0) continue;
      positions.push({ vb, vbuuid: "0", seq: 0, snapshotStart: 0, snapshotEnd: 0 });
    }
    const reader = this.#bucket.feed.open(positions, { withBody: false, until: high });
    try {
      for (;;) {
        const events = positions.length > 0 ? await reader.read() : [];
        if (events.length === 0) break;
        for (const event of events) {
          if (!("key" in event)) continue;
          const vbuuid = branchAt(logs[event.vb] ?? [], event.seq);
          const expected = this.#mutationOf(event, vbuuid);
          if (expected) newest.set(event.key, expected);
          else newest.delete(event.key);
        }
      }
    } finally {
      reader.close();
    }
    return { newest, channels: this.#entriesOf(newest) };
  }

  #entriesOf(newest: ReadonlyMap<string, ExpectedMutation>): Map<string, Map<string, Entry>> {
    const channels = new Map<string, Map<string, Entry>>();
    const add = (channel: string, entry: Entry) => {
      const byId = channels.get(channel) ?? new Map<string, Entry>();
      channels.set(channel, byId.set(entry.docId, entry));
    };
    for (const { mutation } of newest.values()) {
      const { vb, seq, docId, revId, flags, supersedes } = mutation;
      const record = { vb, seq, branch: 0, docId, revId, flags, supersedes };
      for (const channel of new Set([ALL_CHANNEL, ...mutation.channels])) add(channel, record);
      for (const { channel, ...removal } of mutation.removals) {
        const removed = removal.flags | EntryFlag.removed;
        add(channel, { ...record, ...removal, flags: removed, supersedes: 0 });
      }
      for (const { principal, grants } of mutation.grants ?? []) {
        add(pseudoChannel(principal), { ...record, flags: EntryFlag.grants, grants });
      }
    }
    return channels;
  }

  async #compareStripe(stripe: Stripe, high: Clock, expected: Expected): Promise<void> {
    const from = high.slice();
    from.fill(0, stripe.vbFrom, stripe.vbTo);
    const names = new Set([ALL_CHANNEL, ...expected.channels.keys()]);
    for await (const page of this.#index.channels()) for (const name of page) names.add(name);
    for (const channel of names) {
      const missing = new Map(expected.channels.get(channel));
      for await (const batch of this.#index.readStored(channel, Interval.of(from, high))) {
        for (const entry of batch) {
          this.#entries++;
          this.#compare(channel, entry, missing.get(entry.docId), expected);
          missing.delete(entry.docId);
        }
      }
      for (const entry of missing.values()) {
        this.#differ("missing", channel, `${text(entry)} is not in the index`);
      }
    }
  }

  #compare(channel: string, found: Entry, wanted: Entry | undefined, expected: Expected): void {
    if (!wanted) {
      const newest = expected.newest.get(found.docId);
      // A purged document has no revision any more; what was said of it before stays as it was.
      const purged = newest?.mutation.revId === "" && found.seq < newest.mutation.seq;
      const removed = (found.flags & EntryFlag.removed) !== 0;
      const mayBeForgotten = removed || (found.flags & EntryFlag.grants) !== 0;
      const forgotten = mayBeForgotten && found.seq <= (newest?.forgottenUpTo ?? 0);
      if (!purged && !forgotten) {
        this.#differ("extra", channel, `${text(found)} is in the index, but of no document`);
      }
      return;
    }
    const { seq, revId, flags, supersedes } = wanted;
    const same =
      found.seq === seq &&
      found.revId === revId &&
      found.flags === flags &&
      found.supersedes === supersedes &&
      isDeepStrictEqual(found.grants, wanted.grants);
    if (!same) {
      this.#differ("different", channel, `expected ${text(wanted)}, found ${text(found)}`);
    }
  }

  /** Every record must name the hashes of the channels that the mutation touched. */
  async #checkRecords(expected: Expected): Promise<void> {
    const mutations = [...expected.newest.values()].map(({ mutation }) => mutation);
    const recorded = await this.#index.recorded(mutations);
    for (const [i, mutation] of mutations.entries()) {
      const hashes = new Set(recorded[i]);
      const left = mutation.removals.filter(({ seq }) => seq === mutation.seq);
      const channels = [...mutation.channels, ...left.map(({ channel }) => channel)];
      for (const { principal } of mutation.grants ?? []) channels.push(pseudoChannel(principal));
      const absent = channels.filter((channel) => !hashes.has(channelHash(channel)));
      if (recorded[i] === undefined || absent.length > 0) {
        const what = recorded[i] ? `does not name ${absent.join(", ")}` : "is missing";
        this.#differ("missing", ALL_CHANNEL, `the record of ${mutation.docId} ${what}`);
      }
    }
  }
}

function text(entry: Entry): string {
  return JSON.stringify(entry);
}

function branchAt(log: readonly FailoverEntry[], seq: number): string {
  return (log.find((entry) => entry.seq < seq) ?? log.at(-1))?.vbuuid ?? "0";
}

/**
 * Computes the index again from the documents and compares. Nothing may be written meanwhile.
 *
 * @param mutationOf the documents' own pure function
 */
export function verifyIndex(
  index: Index,
  bucket: Bucket,
  mutationOf: MutationOf,
): Promise<Verification> {
  return new Verifier(index, bucket, mutationOf).run();
}
