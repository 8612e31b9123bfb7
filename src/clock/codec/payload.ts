// A vector of integers in the fewest bytes that one of the codecs can make of it. What the vector
// is (a clock, or a difference), and its checksum, is the caller's.

import { assert } from "../../base/assert.ts";
import { MAX_SEQ } from "../../bucket/vbucket.ts";
import { MalformedBytes } from "../bytes.ts";
import { planFrame, readFrame } from "./frame.ts";
import { planHistogram, readHistogram } from "./histogram.ts";
import { planParametric, readParametric } from "./parametric.ts";
import { CODEC_BITS, CodecId, type Plan, summarize } from "./plan.ts";
import { planPlanes, readPlanes } from "./planes.ts";
import { planSparse, readSparse } from "./sparse.ts";

/** The names of the codecs, by their number. */
export const codecNames = Object.keys(CodecId) as (keyof typeof CodecId)[];

/** How hard to try: `small` also tries zstd, which takes a millisecond. */
export type Effort = "fast" | "small";

/** Estimates are right within this share, and this many bits. */
const ESTIMATE_SHARE = 1.003;
const ESTIMATE_BITS = 16;

/**
 * Writes down `values`: integers from -(2^53-1) to 2^53-1.
 *
 * @param only use this codec (for tests and the bench); undefined when it cannot
 */
export function encodePayload(values: Float64Array, effort: Effort): Uint8Array<ArrayBuffer>;
export function encodePayload(
  values: Float64Array,
  effort: Effort,
  only: keyof typeof CodecId,
): Uint8Array<ArrayBuffer> | undefined;
export function encodePayload(
  values: Float64Array,
  effort: Effort,
  only?: keyof typeof CodecId,
): Uint8Array<ArrayBuffer> | undefined {
  assert(values.length > 0, "a vector has a vbucket");
  const summary = summarize(values);
  const planners = {
    sparse: () => planSparse(summary),
    frame: () => planFrame(summary),
    model: () => planParametric(summary),
    histogram: () => planHistogram(summary),
    planes: () => (effort === "small" || only === "planes" ? planPlanes(summary) : undefined),
  };
  if (only !== undefined) return planners[only]()?.encode();
  const plans: Plan[] = [];
  let least = Number.POSITIVE_INFINITY;
  for (const name of codecNames) {
    const plan = planners[name]();
    if (plan === undefined) continue;
    plans.push(plan);
    least = Math.min(least, plan.bits);
  }
  let best: Uint8Array<ArrayBuffer> | undefined;
  for (const plan of plans) {
    if (plan.bits > least * ESTIMATE_SHARE + ESTIMATE_BITS) continue;
    const bytes = plan.encode();
    if (best === undefined || bytes.length < best.length) best = bytes;
  }
  assert(best !== undefined, "some codec can write down any vector");
  return best;
}

/** The name of the codec that wrote a payload. Throws {@link MalformedBytes} for an unknown one. */
export function codecOf(bytes: Uint8Array): keyof typeof CodecId {
  if (bytes.length === 0) throw new MalformedBytes("they end too early");
  const id = bytes[0]! & ((1 << CODEC_BITS) - 1);
  const name = codecNames[id];
  if (name === undefined) {
    throw new MalformedBytes(`codec ${id} is not known: a newer Tidegate wrote it`);
  }
  return name;
}

/**
 * Adds what {@link encodePayload} was given to `target`, element by element.
 *
 * @param verify false does not look whether the sums are seqs: for a step on the way to others
 * @throws MalformedBytes when the bytes cannot be what was written, or a sum is not a seq; `target`
 *   is then of no use
 */
export function addPayload(bytes: Uint8Array, target: Float64Array, verify = true): void {
  switch (codecOf(bytes)) {
    case "sparse":
      readSparse(bytes, target);
      break;
    case "frame":
      readFrame(bytes, target);
      break;
    case "model":
      readParametric(bytes, target);
      break;
    case "histogram":
      readHistogram(bytes, target);
      break;
    case "planes":
      readPlanes(bytes, target);
      break;
  }
  if (verify) checkSeqs(target);
}

function checkSeqs(target: Float64Array): void {
  let least = 0;
  let most = 0;
  for (let vb = 0; vb < target.length; vb++) {
    const seq = target[vb]!;
    if (seq < least) least = seq;
    if (seq > most) most = seq;
  }
  if (least < 0 || most > MAX_SEQ) throw new MalformedBytes("a seq is out of range");
}
