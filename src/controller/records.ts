// The binary layouts of the controller's documents: partition clock, cluster, head and rollbacks.
// All are framed alike. Storing them is store.ts's work.

import { crc32 } from "node:zlib";
import { TidegateError } from "../base/errors.ts";
import type { FailoverEntry } from "../bucket/feed.ts";
import { MAX_VBUCKETS } from "../bucket/vbucket.ts";
import type { Rollback } from "../clock/branches.ts";
import { ByteReader, ByteWriter, MalformedBytes } from "../clock/bytes.ts";
import type { Stable, Tick } from "../clock/tick.ts";
import { decodeClock, encodeClock } from "../clock/whole.ts";
import type { ChangedChannels } from "./ports.ts";
import { MAX_FAILOVER_ENTRIES, MAX_HEAD_HASHES, MAX_HEAD_TICKS } from "./settings.ts";
import type { VbucketRecord } from "./vbucket-state.ts";

const VERSION = 1;
const CHECKSUM_BYTES = 4;
const MAX_TEXT_BYTES = 1024;

/** A partition's clock, with who may move it. */
export interface PartitionRecord {
  readonly partition: number;
  readonly epoch: number;
  /** The owner's instance. */
  readonly owner: string;
  /** The first of its vbuckets; the others follow it. */
  readonly firstVb: number;
  readonly vbuckets: readonly VbucketRecord[];
}

/** Who owns the partitions and aggregates the stable clock, and whether it lives. */
export interface ClusterRecord {
  readonly epoch: number;
  readonly owner: string;
  /** The machine and process of the owner: a node of the same machine can see that it is gone. */
  readonly host: string;
  readonly pid: number;
  /** Counts the heartbeats. */
  readonly beat: number;
  /** Whether the owner let go: anyone may take over at once. */
  readonly released: boolean;
}

/** The head: the newest tick, and what changed in the last ticks. */
export interface HeadRecord {
  readonly epoch: number;
  readonly stable: Stable;
  /** The version of the rollbacks that the clock was published under. */
  readonly rollbacks: number;
  /** The tick before the first of `recent`. */
  readonly since: Tick;
  /** The last ticks, oldest first, each with the channels changed in it. */
  readonly recent: readonly { readonly tick: Tick; readonly changed: ChangedChannels }[];
}

/**
 * Frame of every layout here: version byte, payload, CRC-32 of both.
 *
 * Partition: partition, epoch, owner, firstVb, count, then for each vbucket: clock, 0 or
 * 1 + position where the feed is read from elsewhere, n, n × (vbuuid: 8 bytes, seq).
 * The snapshot bounds are the clock itself: it stands only on the ends of snapshots.
 */
export function encodePartition(record: PartitionRecord): Uint8Array {
  return frame((writer) => {
    writer.varint(record.partition);
    writer.varint(record.epoch);
    writeText(writer, record.owner);
    writer.varint(record.firstVb);
    writer.varint(record.vbuckets.length);
    for (const { clock, position, log } of record.vbuckets) {
      writer.varint(clock);
      writer.varint(position === clock ? 0 : position + 1);
      writer.varint(log.length);
      for (const entry of log) {
        writer.raw(Buffer.from(entry.vbuuid, "hex"));
        writer.varint(entry.seq);
      }
    }
  });
}

/** Reads what {@link encodePartition} wrote. Throws `corrupt` and `newer_version`. */
export function decodePartition(bytes: Uint8Array, place: string): PartitionRecord {
  return unframe(bytes, place, (reader) => {
    const partition = reader.varint();
    const epoch = reader.varint();
    const owner = readText(reader);
    const firstVb = reader.varint();
    const count = bounded(reader.varint(), MAX_VBUCKETS, "vbuckets");
    const vbuckets: VbucketRecord[] = [];
    for (let i = 0; i < count; i++) {
      const clock = reader.varint();
      const other = reader.varint();
      const position = other === 0 ? clock : other - 1;
      if (position > clock) throw new MalformedBytes("a position is beyond its clock");
      const entries = bounded(reader.varint(), MAX_FAILOVER_ENTRIES, "branches");
      const log: FailoverEntry[] = [];
      for (let n = 0; n < entries; n++) {
        const vbuuid = Buffer.from(reader.raw(8)).toString("hex");
        log.push({ vbuuid, seq: reader.varint() });
      }
      vbuckets.push({ clock, position, log });
    }
    return { partition, epoch, owner, firstVb, vbuckets };
  });
}

/** Cluster: epoch, owner, host, pid, beat, released (0 or 1). */
export function encodeCluster(record: ClusterRecord): Uint8Array {
  return frame((writer) => {
    writer.varint(record.epoch);
    writeText(writer, record.owner);
    writeText(writer, record.host);
    writer.varint(record.pid);
    writer.varint(record.beat);
    writer.byte(record.released ? 1 : 0);
  });
}

/** Reads what {@link encodeCluster} wrote. Throws `corrupt` and `newer_version`. */
export function decodeCluster(bytes: Uint8Array, place: string): ClusterRecord {
  return unframe(bytes, place, (reader) => ({
    epoch: reader.varint(),
    owner: readText(reader),
    host: readText(reader),
    pid: reader.varint(),
    beat: reader.varint(),
    released: bounded(reader.byte(), 1, "released") === 1,
  }));
}

/**
 * Head: epoch, tick, rollbacks, length and bytes of the clock, since, n, then for each recent tick:
 * the ticks since the one before, and 0 for "unknown" or 1 + m and m × hash (4 bytes).
 */
export function encodeHead(record: HeadRecord): Uint8Array {
  return frame((writer) => {
    writer.varint(record.epoch);
    writer.varint(record.stable.tick);
    writer.varint(record.rollbacks);
    const clock = encodeClock(record.stable.clock);
    writer.varint(clock.length);
    writer.raw(clock);
    writer.varint(record.since);
    writer.varint(record.recent.length);
    let before: number = record.since;
    for (const { tick, changed } of record.recent) {
      writer.varint(tick - before);
      before = tick;
      writer.varint(changed === "unknown" ? 0 : 1 + changed.size);
      if (changed !== "unknown") for (const hash of changed) writer.uint32(hash);
    }
  });
}

/** Reads what {@link encodeHead} wrote. Throws `corrupt` and `newer_version`. */
export function decodeHead(bytes: Uint8Array, place: string): HeadRecord {
  return unframe(bytes, place, (reader) => {
    const epoch = reader.varint();
    const tick = reader.varint() as Tick;
    const rollbacks = reader.varint();
    const clock = decodeClock(reader.raw(reader.varint()));
    const since = reader.varint() as Tick;
    const count = bounded(reader.varint(), MAX_HEAD_TICKS, "ticks");
    const recent: { tick: Tick; changed: ChangedChannels }[] = [];
    let before: number = since;
    for (let i = 0; i < count; i++) {
      before += reader.varint();
      const hashes = bounded(reader.varint(), MAX_HEAD_HASHES + 1, "hashes") - 1;
      const changed = new Set<number>();
      for (let n = 0; n < hashes; n++) changed.add(reader.uint32());
      recent.push({ tick: before as Tick, changed: hashes < 0 ? "unknown" : changed });
    }
    return { epoch, stable: { tick, clock }, rollbacks, since, recent };
  });
}

/** Rollbacks: version (how many were ever seen), n, n × (vb, seq, tick). */
export function encodeRollbacks(version: number, rollbacks: readonly Rollback[]): Uint8Array {
  return frame((writer) => {
    writer.varint(version);
    writer.varint(rollbacks.length);
    for (const { vb, seq, tick } of rollbacks) {
      writer.varint(vb);
      writer.varint(seq);
      writer.varint(tick);
    }
  });
}

/** Reads what {@link encodeRollbacks} wrote. Throws `corrupt` and `newer_version`. */
export function decodeRollbacks(
  bytes: Uint8Array,
  place: string,
): { version: number; rollbacks: Rollback[] } {
  return unframe(bytes, place, (reader) => {
    const version = reader.varint();
    const count = bounded(reader.varint(), version, "rollbacks");
    const rollbacks: Rollback[] = [];
    for (let i = 0; i < count; i++) {
      const vb = bounded(reader.varint(), MAX_VBUCKETS - 1, "vbucket");
      rollbacks.push({ vb, seq: reader.varint(), tick: reader.varint() as Tick });
    }
    return { version, rollbacks };
  });
}

function frame(write: (writer: ByteWriter) => void): Uint8Array {
  const writer = new ByteWriter(1024);
  writer.byte(VERSION);
  write(writer);
  writer.uint32(crc32(writer.view()));
  return writer.bytes();
}

function unframe<T>(bytes: Uint8Array, place: string, read: (reader: ByteReader) => T): T {
  try {
    if (bytes.length <= CHECKSUM_BYTES) throw new MalformedBytes("they end too early");
    const body = bytes.subarray(0, bytes.length - CHECKSUM_BYTES);
    if (new ByteReader(bytes.subarray(body.length)).uint32() !== crc32(body)) {
      throw new MalformedBytes("the checksum does not match");
    }
    const reader = new ByteReader(body);
    const version = reader.byte();
    if (version !== VERSION) {
      const reason = `${place} has version ${version}, this Tidegate reads version ${VERSION}`;
      throw new TidegateError("newer_version", reason);
    }
    const record = read(reader);
    reader.end();
    return record;
  } catch (error) {
    if (!(error instanceof MalformedBytes)) throw error;
    throw new TidegateError("corrupt", `the bytes of ${place} can't be read: ${error.message}`, {
      cause: error,
    });
  }
}

function writeText(writer: ByteWriter, text: string): void {
  const bytes = Buffer.from(text);
  writer.varint(bytes.length);
  writer.raw(bytes);
}

function readText(reader: ByteReader): string {
  return Buffer.from(reader.raw(bounded(reader.varint(), MAX_TEXT_BYTES, "text"))).toString();
}

function bounded(value: number, most: number, what: string): number {
  if (value > most) throw new MalformedBytes(`${what}: ${value} is more than ${most}`);
  return value;
}
