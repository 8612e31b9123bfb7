// A whole clock in binary, self-contained: the message WholeClock of proto/clock.proto.

import { MAX_VBUCKETS } from "../bucket/vbucket.ts";
import { MalformedBytes } from "./bytes.ts";
import { tidegate } from "./clock.generated.js";
import { addPayload, type Effort, encodePayload } from "./codec/payload.ts";
import { CHECK_BYTES, checkSeal, finish, openEnvelope, seal, USUAL_VBUCKETS } from "./envelope.ts";
import type { Clock } from "./tick.ts";

const { WholeClock } = tidegate.clock;

/** Writes down a whole clock of 1 to 65,536 vbuckets. */
export function encodeClock(clock: Clock, effort: Effort = "fast"): Uint8Array {
  const payload = encodePayload(clock, effort);
  const sealed = new Uint8Array(payload.length + CHECK_BYTES);
  sealed.set(payload);
  const vbuckets = clock.length === USUAL_VBUCKETS ? 0 : clock.length;
  const message = finish(WholeClock.encode({ vbuckets, payload: sealed }));
  seal(message);
  return message;
}

/**
 * Reads what {@link encodeClock} wrote, also in older versions.
 *
 * @throws MalformedBytes for anything else
 */
export function decodeClock(bytes: Uint8Array): Clock {
  checkSeal(bytes);
  const { vbuckets: named, payload } = openEnvelope(WholeClock, bytes);
  const vbuckets = named === 0 ? USUAL_VBUCKETS : named;
  if (vbuckets > MAX_VBUCKETS) throw new MalformedBytes(`${vbuckets} vbuckets are too many`);
  if (payload.length < CHECK_BYTES) throw new MalformedBytes("they end too early");
  const clock = new Float64Array(vbuckets);
  addPayload(payload.subarray(0, payload.length - CHECK_BYTES), clock);
  return clock;
}
