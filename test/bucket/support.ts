// What the bucket's tests share: buckets in temporary directories, short writes, reading feeds.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLog } from "../../src/base/log.ts";
import type { DocumentWrite, DocumentWriteResult } from "../../src/bucket/bucket.ts";
import {
  type EmbeddedBucket,
  type EmbeddedBucketOptions,
  openEmbeddedBucket,
} from "../../src/bucket/embedded/embedded-bucket.ts";
import type { FeedEvent, FeedReader, StreamPosition } from "../../src/bucket/feed.ts";
import { systemRandom } from "../../src/runtime/random.ts";
import { systemTime, type Time } from "../../src/runtime/time.ts";

/** A new empty directory below the system's temporary one. */
export function newDirectory(): string {
  return mkdtempSync(join(tmpdir(), "tidegate-bucket-"));
}

export function removeDirectory(directory: string): void {
  rmSync(directory, { recursive: true, force: true });
}

export function open(
  directory: string,
  options: Partial<EmbeddedBucketOptions> = {},
): Promise<EmbeddedBucket> {
  const given = { name: "test", time: systemTime(), random: systemRandom, log: silentLog };
  return openEmbeddedBucket({ directory, ...given, ...options });
}

/** Runs `use` with a bucket in a directory of its own, and removes both after. */
export async function withBucket(
  use: (bucket: EmbeddedBucket, directory: string) => Promise<void>,
  options: Partial<EmbeddedBucketOptions> = {},
): Promise<void> {
  const directory = newDirectory();
  try {
    const bucket = await open(directory, options);
    try {
      await use(bucket, directory);
    } finally {
      await bucket.close();
    }
  } finally {
    removeDirectory(directory);
  }
}

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
export const text = (value: Uint8Array | undefined): string | undefined =>
  value && new TextDecoder().decode(value);

/** A write with defaults: insert `{}` without attributes. */
export function write(key: string, rest: Partial<DocumentWrite> = {}): DocumentWrite {
  return { key, cas: 0n, body: bytes("{}"), xattrs: {}, macros: [], ...rest };
}

/** The result of a write that must have been done. */
export function done(result: DocumentWriteResult): DocumentWriteResult & { ok: true } {
  if (!result.ok) throw new Error(`the write was refused: ${result.refusal}`);
  return result;
}

/** Writes the newest version of `key`, whatever is there. */
export async function put(
  bucket: EmbeddedBucket,
  key: string,
  body: string | null,
  rest: Partial<DocumentWrite> = {},
): Promise<DocumentWriteResult & { ok: true }> {
  const cas = (await bucket.documents.get(key, { withBody: false }))?.cas ?? 0n;
  const after = body === null ? null : bytes(body);
  return done(await bucket.documents.write(write(key, { cas, body: after, ...rest })));
}

/** The position before everything, of these vbuckets. */
export function fromZero(...vbs: number[]): StreamPosition[] {
  return vbs.map((vb) => ({ vb, vbuuid: "0", seq: 0, snapshotStart: 0, snapshotEnd: 0 }));
}

/** Reads until `enough` says so, or the feed is over; fails after `limitMs`. */
export async function readUntil(
  reader: FeedReader,
  enough: (events: FeedEvent[]) => boolean,
  limitMs = 5000,
): Promise<FeedEvent[]> {
  const events: FeedEvent[] = [];
  const timer = setTimeout(() => reader.close(), limitMs);
  try {
    while (!enough(events)) {
      const more = await reader.read();
      if (more.length === 0) {
        throw new Error(`the feed was over after ${events.length} events: ${summary(events)}`);
      }
      events.push(...more);
    }
    return events;
  } finally {
    clearTimeout(timer);
  }
}

/** Reads until every stream has ended. */
export async function readToEnd(reader: FeedReader, limitMs = 5000): Promise<FeedEvent[]> {
  const events: FeedEvent[] = [];
  const timer = setTimeout(() => reader.close(), limitMs);
  try {
    for (;;) {
      const more = await reader.read();
      if (more.length === 0) return events;
      events.push(...more);
    }
  } finally {
    clearTimeout(timer);
  }
}

/** Events as short texts: what a test can compare. */
export function summary(events: readonly FeedEvent[]): string {
  return events.map(eventText).join(" ");
}

function eventText(event: FeedEvent): string {
  switch (event.kind) {
    case "snapshot":
      return `snapshot(${event.start},${event.end})`;
    case "advanced":
    case "rollback":
      return `${event.kind}(${event.seq})`;
    case "failover":
      return `failover(${event.log.map(({ seq }) => seq).join(",")})`;
    case "end":
      return `end(${event.reason})`;
    default:
      return `${event.kind}(${event.key}@${event.seq})`;
  }
}

/** Waits until `condition` gives something; fails after `limitMs`. */
export async function until<T>(
  condition: () => T | undefined | false | Promise<T | undefined | false>,
  limitMs = 5000,
): Promise<T> {
  const end = performance.now() + limitMs;
  for (;;) {
    const value = await condition();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > end) throw new Error(`condition not met within ${limitMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** The machine's time, moved by hand: `shiftMs` is added to the clock, timers are real. */
export function shiftedTime(): Time & { shiftMs: number } {
  const real = systemTime();
  const time = { ...real, shiftMs: 0, nowMs: () => real.nowMs() + time.shiftMs };
  return time;
}

/** Unix seconds now. */
export const nowSeconds = (): number => Math.floor(Date.now() / 1000);
