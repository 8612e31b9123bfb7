// Every document of the bucket as the DCP frames that carry it, made before anyone asks: for
// benchmarks, where the server must not be what is measured.

import { encodeFrame } from "../../src/bucket/couchbase/wire/frame.ts";
import type { EmbeddedBucket } from "../../src/bucket/embedded/embedded-bucket.ts";
import { COLLECTIONS } from "./cluster.ts";
import { firstMarkerFlags, markerFrame, mutationFrame } from "./dcp-frames.ts";

/** About how many bytes are sent in one piece. */
const PIECE_BYTES = 128 * 1024;

/** One vbucket's whole backfill. */
export interface Backfill {
  /** Whole frames, in pieces. */
  readonly pieces: readonly { readonly bytes: Buffer; readonly starts: readonly number[] }[];
}

/** The backfills of all vbuckets, with or without bodies. */
export async function preload(bucket: EmbeddedBucket, withBody: boolean): Promise<Backfill[]> {
  const high = await bucket.feed.highSeqs();
  const positions = [...high.keys()].map((vb) => {
    return { vb, vbuuid: "0", seq: 0, snapshotStart: 0, snapshotEnd: 0 };
  });
  const frames: Buffer[][] = Array.from(high, () => []);
  for (const [vb, end] of high.entries()) {
    const marker = { ...markerFrame(0, end, firstMarkerFlags(true)), vbOrStatus: vb };
    if (end > 0) frames[vb]!.push(encodeFrame(marker));
  }
  const reader = bucket.feed.open(positions, { withBody, until: high });
  for (let events = await reader.read(); events.length > 0; events = await reader.read()) {
    for (const event of events) {
      if (event.kind !== "mutation") continue;
      const style = { withBody, collectionId: COLLECTIONS._default, snappy: false };
      const frame = { ...mutationFrame(event, style), vbOrStatus: event.vb };
      frames[event.vb]!.push(encodeFrame(frame));
    }
  }
  reader.close();
  return frames.map((list) => ({ pieces: pieces(list) }));
}

function pieces(frames: readonly Buffer[]): { bytes: Buffer; starts: number[] }[] {
  const out: { bytes: Buffer; starts: number[] }[] = [];
  let group: Buffer[] = [];
  let size = 0;
  const flush = () => {
    const starts: number[] = [];
    let at = 0;
    for (const frame of group) {
      starts.push(at);
      at += frame.length;
    }
    if (group.length > 0) out.push({ bytes: Buffer.concat(group), starts });
    group = [];
    size = 0;
  };
  for (const frame of frames) {
    group.push(frame);
    size += frame.length;
    if (size >= PIECE_BYTES) flush();
  }
  flush();
  return out;
}
