// Writes one group of mutations: every entry into its channel's block, then every record into its
// sequence document. The order of the steps is what makes a crash at any point harmless:
//   1. append to the blocks;
//   2. for blocks that do not exist: append to their list windows — for list windows that do not
//      exist: append to the channel's root, then make them — and only then make the blocks;
//   3. append the records: the commit mark.
// So a block with data is always listed, and a record says that all of its entries are there.

import { assert } from "../base/assert.ts";
import { TidegateError } from "../base/errors.ts";
import type { KeyValueOperation, KeyValueResult } from "../bucket/bucket.ts";
import { type ChannelState, Densities } from "./density.ts";
import { type Identity, type Place, packEntry, packIdentity, type Range } from "./entry-codec.ts";
import { encodeFrame, FRAME_ROOM, framed } from "./frame.ts";
import { MAX_PLACEMENTS } from "./limits.ts";
import {
  blockHeader,
  listHeader,
  packAddresses,
  packWindows,
  rootHeader,
  sequenceHeader,
} from "./list-codec.ts";
import { PackWriter } from "./pack.ts";
import { pseudoChannel } from "./pseudo-channel.ts";
import {
  addressOf,
  type BlockAddress,
  blockKey,
  type ListWindow,
  listKey,
  rangeOf,
  rootKey,
  type SequenceGrid,
  type ShapeMode,
  windowOf,
} from "./shape.ts";
import { ALL_CHANNEL, type Entry, EntryFlag, type IndexMutation } from "./types.ts";

/** A mutation with all entries that are to be written of it. */
export interface GroupMember {
  readonly mutation: IndexMutation;
  /** The record: the entry of `*`. */
  readonly record: Entry;
  /** The entries of its channels, removals included. */
  readonly entries: readonly { readonly channel: string; readonly entry: Entry }[];
  /** The hashes of these channels, each once: what the record names. */
  readonly hashes: readonly number[];
}

/** What a group writer stands on. */
export interface GroupContext {
  readonly vbuckets: number;
  readonly grid: SequenceGrid;
  readonly shape: ShapeMode;
  /** The machine's clock: when a document was made tells it from one that it replaces. */
  nowMs(): number;
  /** Carries out operations, tried again when the bucket is busy. */
  batch(operations: readonly KeyValueOperation[]): Promise<KeyValueResult[]>;
  /** The stable clock's seq in a vbucket: what is written at or below it is late. */
  stableSeq(vb: number): number;
  /** These documents got something that readers may think they know to be there or not. */
  late(keys: Iterable<string>): void;
  /** The shape of a channel's newest block; undefined for a channel that has none. */
  newestShapes(channels: readonly string[]): Promise<(BlockAddress | undefined)[]>;
}

/** A document to append to, and what. */
interface Addition {
  readonly key: string;
  readonly range: Range;
  readonly lines: { place: Place; identity: Identity; channels?: readonly number[] }[];
  /** The document's header, should it have to be made. */
  readonly header: () => Uint8Array;
}

/** A channel's block to append to. */
interface BlockAddition extends Addition {
  readonly state: ChannelState;
  readonly address: BlockAddress;
}

const chunk = new PackWriter(64 * 1024);

/** What a {@link GroupWriter} counts. */
export interface GroupCounts {
  entries: number;
  appends: number;
  blocksMade: number;
  listsMade: number;
  rootsMade: number;
  bytes: number;
}

/** Writes groups of mutations. */
export class GroupWriter {
  readonly densities: Densities;
  readonly counts: GroupCounts = {
    entries: 0,
    appends: 0,
    blocksMade: 0,
    listsMade: 0,
    rootsMade: 0,
    bytes: 0,
  };
  readonly #context: GroupContext;

  constructor(context: GroupContext) {
    this.#context = context;
    this.densities = new Densities(context.shape, context.vbuckets, context.grid.partitions);
  }

  /**
   * Writes a group. Resolves when the records are acknowledged.
   *
   * @throws TidegateError `unavailable`, `ambiguous` when the bucket did, each time it was asked
   */
  async write(members: readonly GroupMember[]): Promise<void> {
    await this.#learn(members);
    const identities = members.map(({ record }) => packIdentity(record.docId, record.revId));
    const late = new Set<string>();
    let blocks = this.#place(members, identities, late);
    for (let round = 0; blocks.length > 0; round++) {
      if (round === MAX_PLACEMENTS) {
        throw new TidegateError("unavailable", "index blocks could not be appended to or made");
      }
      const left = await this.#append(blocks);
      blocks = left.length > 0 ? this.#placeAgain(await this.#make(left), late) : [];
    }
    await this.#commit(members, identities, late);
    if (late.size > 0) this.#context.late(late);
  }

  #isLate({ vb, seq }: Place): boolean {
    return seq <= this.#context.stableSeq(vb);
  }

  #state(channel: string): ChannelState {
    return this.densities.find(channel) ?? this.densities.add(channel);
  }

  async #learn(members: readonly GroupMember[]): Promise<void> {
    if (!this.densities.learns) return;
    const unknown = new Set<string>();
    for (const { entries } of members) {
      for (const { channel } of entries) {
        if (!this.densities.find(channel)) unknown.add(channel);
      }
    }
    if (unknown.size === 0) return;
    const channels = [...unknown];
    const newest = await this.#context.newestShapes(channels);
    for (const [i, channel] of channels.entries()) {
      if (!this.densities.find(channel)) this.densities.add(channel, newest[i]);
    }
  }

  #place(
    members: readonly GroupMember[],
    identities: readonly Identity[],
    late: Set<string>,
  ): BlockAddition[] {
    const blocks = new Map<string, BlockAddition>();
    for (const [i, { record, entries }] of members.entries()) {
      this.densities.mutation(record.seq);
      for (const { channel, entry } of entries) {
        const state = this.#state(channel);
        this.densities.note(state);
        const same = entry.revId === record.revId;
        const identity = same ? identities[i]! : packIdentity(entry.docId, entry.revId);
        this.#addTo(blocks, state, entry, identity, late);
      }
    }
    return [...blocks.values()];
  }

  #addTo(
    blocks: Map<string, BlockAddition>,
    state: ChannelState,
    entry: Place,
    identity: Identity,
    late: Set<string>,
  ): void {
    const address = addressOf(state.shape, entry.vb, entry.seq);
    const key = blockKey(state.inKeys, address);
    let block = blocks.get(key);
    if (!block) {
      const header = () => blockHeader(state.name, address, this.#context.nowMs());
      block = { key, state, address, range: rangeOf(address), header, lines: [] };
      blocks.set(key, block);
    }
    block.lines.push({ place: entry, identity });
    if (!this.#isLate(entry)) return;
    const window = windowOf(address, this.#context.vbuckets);
    late.add(key).add(listKey(state.inKeys, window)).add(rootKey(state.inKeys));
  }

  /** Places what did not fit anew: the channel's shape is finer by now. */
  #placeAgain(left: readonly BlockAddition[], late: Set<string>): BlockAddition[] {
    const blocks = new Map<string, BlockAddition>();
    for (const { state, lines } of left) {
      for (const { place, identity } of lines) this.#addTo(blocks, state, place, identity, late);
    }
    return [...blocks.values()];
  }

  /** Appends to blocks; gives back those that do not exist or take no more. */
  async #append(blocks: readonly BlockAddition[]): Promise<BlockAddition[]> {
    const operations = blocks.map((block) => this.#appendOf(block));
    const results = await this.#context.batch(operations);
    const left: BlockAddition[] = [];
    for (const [i, block] of blocks.entries()) {
      const result = results[i]!;
      if (result.ok) this.#appended(block, operations[i]!);
      else left.push(block);
      if (!result.ok && result.refusal === "too_large") this.densities.finer(block.state);
      else assert(result.ok || result.refusal === "not_found", "an append was refused");
    }
    return left;
  }

  #appended(block: BlockAddition, operation: KeyValueOperation): void {
    const bytes = operation.op === "append" ? operation.value.length : 0;
    this.densities.appended(block.state, block.key, bytes);
  }

  #appendOf(addition: Addition): KeyValueOperation {
    chunk.length = FRAME_ROOM;
    chunk.varint(addition.lines.length);
    for (const { place, identity, channels } of addition.lines) {
      packEntry(chunk, addition.range, place, identity, channels);
    }
    const value = framed(chunk);
    this.counts.entries += addition.lines.length;
    this.counts.appends++;
    this.counts.bytes += value.length;
    return { op: "append", key: addition.key, value };
  }

  /** Lists blocks and then makes them; gives back those that take no more, or went away again. */
  async #make(blocks: readonly BlockAddition[]): Promise<BlockAddition[]> {
    const { vbuckets } = this.#context;
    const lists = new Map<
      string,
      { state: ChannelState; window: ListWindow; addresses: BlockAddress[] }
    >();
    for (const { state, address } of blocks) {
      const window = windowOf(address, vbuckets);
      const key = listKey(state.inKeys, window);
      const list = lists.get(key) ?? { state, window, addresses: [] };
      lists.set(key, list);
      list.addresses.push(address);
    }
    await this.#list(lists);
    const operations: KeyValueOperation[] = [];
    for (const block of blocks) {
      operations.push({ op: "insert", key: block.key, value: block.header() });
      operations.push(this.#appendOf(block));
    }
    const results = await this.#context.batch(operations);
    return blocks.filter((block, i) => {
      if (results[i * 2]!.ok) this.counts.blocksMade++;
      const appended = results[i * 2 + 1]!;
      if (appended.ok) this.#appended(block, operations[i * 2 + 1]!);
      else if (appended.refusal === "too_large") this.densities.finer(block.state);
      return !appended.ok;
    });
  }

  async #list(
    lists: ReadonlyMap<
      string,
      { state: ChannelState; window: ListWindow; addresses: BlockAddress[] }
    >,
  ): Promise<void> {
    const keys = [...lists.keys()];
    const appends = keys.map((key): KeyValueOperation => {
      return { op: "append", key, value: encodeFrame(packAddresses(lists.get(key)!.addresses)) };
    });
    const results = await this.#context.batch(appends);
    const missing = keys.filter((_key, i) => !results[i]!.ok);
    if (missing.length === 0) return;
    const windows = new Map<ChannelState, ListWindow[]>();
    for (const key of missing) {
      const { state, window } = lists.get(key)!;
      windows.set(state, [...(windows.get(state) ?? []), window]);
    }
    const roots = [...windows].flatMap(([state, added]): KeyValueOperation[] => {
      const key = rootKey(state.inKeys);
      return [
        { op: "insert", key, value: rootHeader(state.name, this.#context.nowMs()) },
        { op: "append", key, value: encodeFrame(packWindows(added)) },
      ];
    });
    this.counts.rootsMade += made(await this.#context.batch(roots));
    const makes = missing.flatMap((key): KeyValueOperation[] => {
      const { state, window } = lists.get(key)!;
      return [
        { op: "insert", key, value: listHeader(state.name, window, this.#context.nowMs()) },
        appends[keys.indexOf(key)]!,
      ];
    });
    this.counts.listsMade += made(await this.#context.batch(makes));
  }

  /** Appends the records. */
  async #commit(
    members: readonly GroupMember[],
    identities: readonly Identity[],
    late: Set<string>,
  ): Promise<void> {
    const { grid } = this.#context;
    const documents = new Map<string, Addition>();
    for (const [i, member] of members.entries()) {
      const { record } = member;
      const partition = grid.partitionOf(record.vb);
      const window = grid.windowOf(record.seq);
      const range = grid.tile(partition, window);
      const header = () => sequenceHeader(grid, partition, window, this.#context.nowMs());
      const document = documents.get(range.key) ?? { key: range.key, range, header, lines: [] };
      documents.set(range.key, document);
      const channels = member.hashes;
      if (this.#isLate(record)) late.add(range.key);
      document.lines.push({ place: record, identity: identities[i]!, channels });
    }
    const additions = [...documents.values()];
    const appends = additions.map((addition) => this.#appendOf(addition));
    const results = await this.#context.batch(appends);
    const makes: KeyValueOperation[] = [];
    for (const [i, addition] of additions.entries()) {
      if (results[i]!.ok) continue;
      makes.push({ op: "insert", key: addition.key, value: addition.header() }, appends[i]!);
    }
    if (makes.length > 0) made(await this.#context.batch(makes));
  }
}

/**
 * Checks the results of pairs "insert the header, append": how many documents were made.
 *
 * @throws TidegateError `unavailable` when an append was refused: the group is written again later
 */
function made(results: readonly KeyValueResult[]): number {
  let count = 0;
  for (const [i, result] of results.entries()) {
    if (i % 2 === 0) count += result.ok ? 1 : 0;
    else if (!result.ok) {
      throw new TidegateError("unavailable", `an index document took no entry: ${result.refusal}`);
    }
  }
  return count;
}

/** All entries of a mutation that are to be written, given which removals are. */
export function memberOf(
  mutation: IndexMutation,
  channelHash: (channel: string) => number,
  branchOf: (seq: number) => number,
  writesRemoval: (seq: number) => boolean,
): GroupMember {
  const { vb, seq, docId, revId, flags, supersedes } = mutation;
  const branch = branchOf(seq);
  const record: Entry = { vb, seq, branch, flags, docId, revId, supersedes };
  const entries: { channel: string; entry: Entry }[] = [];
  const hashes: number[] = [];
  const add = (channel: string, entry: Entry) => {
    entries.push({ channel, entry });
    const hash = channelHash(channel);
    if (!hashes.includes(hash)) hashes.push(hash);
  };
  const { channels } = mutation;
  for (let i = 0; i < channels.length; i++) {
    const channel = channels[i]!;
    if (channel !== ALL_CHANNEL && channels.indexOf(channel) === i) add(channel, record);
  }
  for (const removal of mutation.removals) {
    if (removal.channel === ALL_CHANNEL || !writesRemoval(removal.seq)) continue;
    const entry: Entry = {
      vb,
      seq: removal.seq,
      branch: branchOf(removal.seq),
      flags: removal.flags | EntryFlag.removed,
      docId,
      revId: removal.revId,
      supersedes: 0,
    };
    add(removal.channel, entry);
  }
  for (const { principal, grants } of mutation.grants ?? []) {
    // It is no change of the document: neither a deletion nor a conflict.
    add(pseudoChannel(principal), { ...record, flags: EntryFlag.grants, grants });
  }
  return { mutation, record, entries, hashes };
}
