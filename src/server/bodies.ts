// The request bodies that are on their way or in memory: bounded altogether, and each bounded in
// time. How a body is read and what is in it is body.ts.

import { TidegateError } from "../base/errors.ts";
import type { Cancel, Time } from "../runtime/time.ts";

/** Bytes a second that a body must bring on average, once its first seconds are over. */
export const LEAST_BYTES_PER_SECOND = 1024;

/** How often bodies on their way are looked at. */
const LOOK_MS = 500;

/** A large body of which nothing has come for so long goes first when there is no room. */
const STALLED_MS = 2000;

/** A client that found no room may try again after this. */
const RETRY_SECONDS = 5;

/** What {@link Bodies} keeps to. */
export interface BodyLimits {
  /** Bytes of all large bodies together. */
  readonly totalBytes: number;
  /** Seconds that a body may take however little of it comes. */
  readonly slowSeconds: number;
}

/** One request's body, from its first byte until its request is answered. */
export interface Body {
  /** `reading`, unless the body is cut before. Rejects with what cut it, and what `reading` does. */
  inTime<T>(reading: Promise<T>): Promise<T>;
  /** So many bytes more are held in memory. Throws `unavailable` when there is no room. */
  hold(bytes: number): void;
  /** The body is here: nothing of it is waited for any more. */
  arrived(): void;
  /** Nothing of it is held any more. Calling it again does nothing. */
  release(): void;
}

/** All of them. */
export class Bodies {
  readonly #time: Time;
  readonly #limits: BodyLimits;
  /** Bodies on their way. */
  readonly #coming = new Set<BodyOnTheWay>();
  /** Those of them that hold bytes; the one that brought nothing for the longest time is first. */
  readonly #large = new Set<BodyOnTheWay>();
  #held = 0;
  #cancelLook: Cancel | undefined;

  constructor(time: Time, limits: BodyLimits) {
    this.#time = time;
    this.#limits = limits;
  }

  /** Bytes held now. */
  get held(): number {
    return this.#held;
  }

  /** Begins to wait for a body. `release` must be called in the end. */
  begin(): Body {
    const body = new BodyOnTheWay(this, this.#time.monotonicMs());
    this.#coming.add(body);
    this.#cancelLook ??= this.#time.after(LOOK_MS, () => this.#look());
    return body;
  }

  /** For {@link BodyOnTheWay}. */
  take(body: BodyOnTheWay, bytes: number): void {
    while (this.#held + bytes > this.#limits.totalBytes) {
      if (!this.#cutStalled(body)) throw noRoom(this.#limits.totalBytes);
    }
    this.#held += bytes;
    body.held += bytes;
    body.movedMs = this.#time.monotonicMs();
    if (!this.#coming.has(body)) return;
    this.#large.delete(body);
    this.#large.add(body);
  }

  /** For {@link BodyOnTheWay}. */
  arrived(body: BodyOnTheWay): void {
    this.#coming.delete(body);
    this.#large.delete(body);
  }

  /** For {@link BodyOnTheWay}. */
  release(body: BodyOnTheWay): void {
    this.arrived(body);
    this.#held -= body.held;
    body.held = 0;
  }

  /** Makes room by a body that does not move. */
  #cutStalled(asking: BodyOnTheWay): boolean {
    const [first] = this.#large;
    if (!first || first === asking) return false;
    if (this.#time.monotonicMs() - first.movedMs < STALLED_MS) return false;
    this.release(first);
    first.cut(noRoom(this.#limits.totalBytes));
    return true;
  }

  /** Cuts what is too slow, and looks again while there is something to look at. */
  #look(): void {
    const now = this.#time.monotonicMs();
    const graceMs = this.#limits.slowSeconds * 1000;
    for (const body of this.#coming) {
      const overMs = now - body.begunMs - graceMs;
      if (overMs <= 0 || body.received * 1000 >= overMs * LEAST_BYTES_PER_SECOND) continue;
      this.release(body);
      const seconds = Math.round((now - body.begunMs) / 1000);
      const reason = `the body comes too slowly: ${body.received} bytes in ${seconds} s`;
      body.cut(new TidegateError("too_slow", reason));
    }
    const goesOn = this.#coming.size > 0;
    this.#cancelLook = goesOn ? this.#time.after(LOOK_MS, () => this.#look()) : undefined;
  }
}

function noRoom(totalBytes: number): TidegateError {
  const reason = `request bodies take ${totalBytes} bytes already (limits.heldBodyBytes)`;
  return new TidegateError("unavailable", reason, { retryAfterSeconds: RETRY_SECONDS });
}

class BodyOnTheWay implements Body {
  readonly begunMs: number;
  readonly #all: Bodies;
  held = 0;
  received = 0;
  movedMs: number;
  #reject: ((error: TidegateError) => void) | undefined;
  #cutBy: TidegateError | undefined;

  constructor(all: Bodies, nowMs: number) {
    this.#all = all;
    this.begunMs = nowMs;
    this.movedMs = nowMs;
  }

  inTime<T>(reading: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#reject = reject;
      reading.then(resolve, reject);
      if (this.#cutBy) reject(this.#cutBy);
    });
  }

  hold(bytes: number): void {
    if (this.#cutBy) throw this.#cutBy;
    this.#all.take(this, bytes);
    this.received += bytes;
  }

  arrived(): void {
    this.#all.arrived(this);
  }

  release(): void {
    this.#all.release(this);
  }

  /** Ends the waiting for it with an error. */
  cut(error: TidegateError): void {
    this.#cutBy = error;
    this.#reject?.(error);
  }
}
