// One byte range of RFC 9110. More than one at a time is not offered: the whole is sent then.

/** The bytes from `from` to `to`, both included. */
export interface ByteRange {
  readonly from: number;
  readonly to: number;
}

/**
 * The range that a `Range` header asks for of `length` bytes; undefined: send the whole (there is
 * no header, or it is not one that we understand, which RFC 9110 says to ignore).
 */
export function byteRange(
  header: string | undefined,
  length: number,
): ByteRange | "unsatisfiable" | undefined {
  const parts = header?.match(/^\s*bytes\s*=\s*(\d{0,15})\s*-\s*(\d{0,15})\s*$/i);
  const first = parts?.[1];
  const last = parts?.[2];
  if (!parts || (first === "" && last === "")) return undefined;
  if (first === "") {
    const count = Math.min(Number(last), length);
    return count === 0 ? "unsatisfiable" : { from: length - count, to: length - 1 };
  }
  const from = Number(first);
  const to = last === "" ? length - 1 : Number(last);
  if (last !== "" && to < from) return undefined;
  return from >= length ? "unsatisfiable" : { from, to: Math.min(to, length - 1) };
}
