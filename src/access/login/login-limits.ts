// How often a login may fail: by address and by user, in a table of bounded size. A try is paid for
// before it is made, and given back when it succeeds, so that many at once do not slip through.

import { TidegateError } from "../../base/errors.ts";
import type { Time } from "../../runtime/time.ts";
import { BoundedMap } from "../bounded-map.ts";

/** Addresses and users that are remembered, each. */
export const MAX_REMEMBERED = 50_000;

/** What may fail in {@link WINDOW_SECONDS}; see the settings `logins`. */
export interface LoginLimits {
  readonly failuresPerAddress: number;
  readonly failuresPerUser: number;
}

/** A failure is forgotten after this long, at an even pace. */
export const WINDOW_SECONDS = 60;

/** What is left of an allowance, and since when. */
interface Bucket {
  left: number;
  atMs: number;
}

/** A try that was paid for. */
export interface Attempt {
  /** The login succeeded: it costs nothing. */
  succeeded(): void;
}

/** Counts failed logins of one process. */
export class FailedLogins {
  readonly #time: Time;
  readonly #limits: LoginLimits;
  readonly #addresses = new BoundedMap<string, Bucket>(MAX_REMEMBERED);
  readonly #users = new BoundedMap<string, Bucket>(MAX_REMEMBERED);

  constructor(time: Time, limits: LoginLimits) {
    this.#time = time;
    this.#limits = limits;
  }

  /**
   * Begins a try. Throws `too_many_requests` with the seconds to wait; it makes no difference
   * whether there is such a user.
   *
   * @param user database and name
   */
  begin(address: string, user: string): Attempt {
    const { failuresPerAddress, failuresPerUser } = this.#limits;
    const byAddress = this.#bucket(this.#addresses, address, failuresPerAddress);
    const byUser = this.#bucket(this.#users, user, failuresPerUser);
    if (byAddress.left < 1) throw refusal(byAddress, failuresPerAddress);
    if (byUser.left < 1) throw refusal(byUser, failuresPerUser);
    byAddress.left--;
    byUser.left--;
    return {
      succeeded() {
        byAddress.left = Math.min(byAddress.left + 1, failuresPerAddress);
        byUser.left = Math.min(byUser.left + 1, failuresPerUser);
      },
    };
  }

  /** The bucket of `key`, filled up by the time that has gone. */
  #bucket(table: BoundedMap<string, Bucket>, key: string, full: number): Bucket {
    const nowMs = this.#time.monotonicMs();
    const bucket = table.get(key) ?? { left: full, atMs: nowMs };
    const back = ((nowMs - bucket.atMs) / 1000) * (full / WINDOW_SECONDS);
    bucket.left = Math.min(full, bucket.left + back);
    bucket.atMs = nowMs;
    table.set(key, bucket);
    return bucket;
  }
}

function refusal({ left }: Bucket, full: number): TidegateError {
  const retryAfterSeconds = Math.max(1, Math.ceil((1 - left) * (WINDOW_SECONDS / full)));
  const reason = `too many logins failed; try again in ${retryAfterSeconds} s`;
  return new TidegateError("too_many_requests", reason, { retryAfterSeconds });
}
