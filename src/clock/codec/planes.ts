// Byte planes and zstd: all lowest bytes, then all second bytes and so on, compressed together. For
// clocks with a structure that the other codecs know nothing of, such as repetitions.
//
// Layout: byte with the codec in its lowest 3 bits and the number of planes (0-7) above, the start
// as a zigzag varint, and the zstd frame without its four magic bytes.

import { ByteReader, ByteWriter, MalformedBytes } from "../bytes.ts";
import { zstdCompress, zstdDecompress } from "../zstd.ts";
import { unzigzag, zigzag } from "./bits.ts";
import { CODEC_BITS, CodecId, type Plan, type Summary } from "./plan.ts";

/** What every zstd frame begins with. */
const MAGIC = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd);

/** The level with which the planes are compressed. */
const LEVEL = 19;

/** Compresses the planes; undefined when the values or their start need more than 52 bits. */
export function planPlanes({ values, least, most }: Summary): Plan | undefined {
  if (most - least >= 2 ** 52 || Math.abs(least) >= 2 ** 52) return undefined;
  let planes = 0;
  while (most - least >= 256 ** planes) planes++;
  const bytes = new Uint8Array(planes * values.length);
  for (let vb = 0; vb < values.length; vb++) {
    let rest = values[vb]! - least;
    for (let plane = 0; plane < planes; plane++) {
      bytes[plane * values.length + vb] = rest % 256;
      rest = Math.floor(rest / 256);
    }
  }
  const writer = new ByteWriter(bytes.length + 32);
  writer.byte(CodecId.planes | (planes << CODEC_BITS));
  writer.varint(zigzag(least));
  writer.raw(zstdCompress(bytes, LEVEL).subarray(MAGIC.length));
  return { bits: writer.length * 8, encode: () => writer.bytes() };
}

/** Adds what {@link planPlanes} wrote to `target`. */
export function readPlanes(bytes: Uint8Array, target: Float64Array): void {
  const reader = new ByteReader(bytes);
  const planes = reader.byte() >> CODEC_BITS;
  if (planes > 7) throw new MalformedBytes("too many planes");
  const least = unzigzag(reader.varint());
  const frame = new ByteWriter(MAGIC.length + reader.left);
  frame.raw(MAGIC);
  frame.raw(reader.raw(reader.left));
  const size = planes * target.length;
  let plain: Uint8Array;
  try {
    plain = zstdDecompress(frame.view(), size);
  } catch (error) {
    throw new MalformedBytes("its planes cannot be decompressed", { cause: error });
  }
  if (plain.length !== size) throw new MalformedBytes("its planes have another length");
  for (let vb = 0; vb < target.length; vb++) {
    let value = 0;
    for (let plane = planes - 1; plane >= 0; plane--) {
      value = value * 256 + plain[plane * target.length + vb]!;
    }
    target[vb] = target[vb]! + (least + value);
  }
}
