// What a payload codec says before it encodes: whether it can, and how many bits it would take.

/** One way of writing down a vector of integers. */
export interface Plan {
  /** About the bits that {@link encode} gives. */
  readonly bits: number;
  encode(): Uint8Array<ArrayBuffer>;
}

/**
 * The first three bits of a payload: the codec that wrote it. A number is never used for another
 * layout: a changed layout gets a new number, and the old one is still read.
 */
export const CodecId = { sparse: 0, frame: 1, model: 2, histogram: 3, planes: 4 } as const;

/** The bits that a {@link CodecId} takes. */
export const CODEC_BITS = 3;

/** What is known of the values before the codecs look at them. */
export interface Summary {
  readonly values: Float64Array;
  /** How many are not zero. */
  readonly changed: number;
  readonly least: number;
  readonly most: number;
  /** The values in ascending order. */
  readonly sorted: Float64Array;
}

/** Looks at the values once. */
export function summarize(values: Float64Array): Summary {
  let changed = 0;
  let least = values[0]!;
  let most = least;
  for (let at = 0; at < values.length; at++) {
    const value = values[at]!;
    if (value !== 0) changed++;
    if (value < least) least = value;
    if (value > most) most = value;
  }
  return { values, changed, least, most, sorted: values.slice().sort() };
}
