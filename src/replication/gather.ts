// Merging very many channels: their entries are gathered stripe of vbuckets by stripe, as wide as fit
// into memory, where one stream for each channel would not. Gives what `merge.ts` gives.

import type { Entry } from "../index/types.ts";
import type { Time } from "../runtime/time.ts";
import { Breath } from "./breath.ts";
import { GATHERED_AT_ONCE, MAX_GATHERED_ENTRIES } from "./limits.ts";
import { type Change, MergeWindow, type ReadingKind } from "./merge.ts";

/** Gathered changes are given out in batches of about this many. */
const GATHERED_BATCH = 1000;

/** A channel that can be read in any range of vbuckets `[vbFrom, vbTo)`. */
export interface StripedChannel {
  readonly channel: string;
  readonly kind: ReadingKind;
  read(vbFrom: number, vbTo: number): AsyncIterable<readonly Entry[]>;
}

interface Held {
  readonly entry: Entry;
  readonly input: StripedChannel;
}

/**
 * Merges `inputs` in the vbuckets from `vbFrom` up to `vbuckets`.
 *
 * @param mostHeld the entries held at once, unless one vbucket has more
 */
export async function* gatherChannels(
  inputs: readonly StripedChannel[],
  vbFrom: number,
  vbuckets: number,
  time: Time,
  mostHeld = MAX_GATHERED_ENTRIES,
): AsyncGenerator<readonly Change[]> {
  let width = vbuckets;
  for (let first = vbFrom; first < vbuckets; ) {
    const stripe = new Stripe(first, Math.min(vbuckets, first + width), mostHeld);
    await stripe.gather(inputs, new Breath(time));
    yield* stripe.merged();
    width = 2 * (stripe.vbTo - first);
    first = stripe.vbTo;
  }
}

/** The entries of some vbuckets: fewer and fewer of them while there are too many entries. */
class Stripe {
  readonly #vbFrom: number;
  #vbTo: number;
  readonly #most: number;
  /** By vbucket, from `#vbFrom` on; not yet in order of seq. */
  readonly #held: Held[][] = [];
  #count = 0;

  constructor(vbFrom: number, vbTo: number, most: number) {
    this.#vbFrom = vbFrom;
    this.#vbTo = vbTo;
    this.#most = most;
  }

  get vbTo(): number {
    return this.#vbTo;
  }

  async gather(inputs: readonly StripedChannel[], breath: Breath): Promise<void> {
    const waiting = inputs[Symbol.iterator]();
    const reader = async () => {
      for (const input of waiting) {
        await this.#read(input);
        await breath.take();
      }
    };
    await Promise.all(Array.from({ length: Math.min(GATHERED_AT_ONCE, inputs.length) }, reader));
  }

  async #read(input: StripedChannel): Promise<void> {
    for await (const batch of input.read(this.#vbFrom, this.#vbTo)) {
      for (const entry of batch) {
        if (entry.vb >= this.#vbTo) return;
        const at = entry.vb - this.#vbFrom;
        const held = this.#held[at];
        if (held) held.push({ entry, input });
        else this.#held[at] = [{ entry, input }];
        this.#count++;
      }
      this.#shrink();
    }
  }

  #shrink(): void {
    while (this.#count > this.#most && this.#vbTo - this.#vbFrom > 1) {
      const width = Math.ceil((this.#vbTo - this.#vbFrom) / 2);
      for (const held of this.#held.splice(width)) this.#count -= held?.length ?? 0;
      this.#vbTo = this.#vbFrom + width;
    }
  }

  /** The changes of what was gathered. */
  *merged(): Generator<readonly Change[]> {
    let ready: Change[] = [];
    for (const [at, held] of this.#held.entries()) {
      if (held === undefined) continue;
      held.sort((one, other) => one.entry.seq - other.entry.seq);
      let window = new MergeWindow();
      for (const { entry, input } of held) {
        if (!window.takes(entry)) {
          ready = window.appendTo(ready);
          window = new MergeWindow();
        }
        window.add(entry, input.channel, input.kind);
      }
      ready = window.appendTo(ready);
      this.#held[at] = [];
      if (ready.length < GATHERED_BATCH) continue;
      yield ready;
      ready = [];
    }
    if (ready.length > 0) yield ready;
  }
}
