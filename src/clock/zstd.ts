// Which zstd: the runtime's own where it is right, the package zstd-codec where it is not. The
// runtime's is not there in a browser, and one runtime ignores the option `dictionary` without a
// word; so whether dictionaries work is tried out, with a wrong one. Nobody else calls a zstd.

import type * as zlib from "node:zlib";
import type { Zstd } from "zstd-codec";
import { assert } from "../base/assert.ts";

/** The zstd of this runtime; undefined where there is none (a browser, an older runtime). */
function nativeZstd(): typeof zlib | undefined {
  const found = globalThis.process?.getBuiltinModule?.("node:zlib") as typeof zlib | undefined;
  return typeof found?.zstdCompressSync === "function" ? found : undefined;
}

const native = nativeZstd();

/** The package, once {@link prepareZstd} has loaded it. */
let loaded: Zstd | undefined;

/** Whether the runtime's own zstd takes a dictionary seriously; found out at the first question. */
let nativeDictionaries: boolean | undefined;

function dictionariesWork(): boolean {
  nativeDictionaries ??= native !== undefined && tryDictionary(native);
  return nativeDictionaries;
}

/** Bytes that repeat nothing. */
function noise(length: number, seed: number): Uint8Array {
  let state = seed;
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return state >>> 16;
  });
}

/**
 * Compresses a piece of a dictionary with it: small with the right one, other bytes with a wrong
 * one.
 */
function tryDictionary(zstd: typeof zlib): boolean {
  const right = noise(512, 1);
  const plain = right.subarray(100, 400);
  const packed = zstd.zstdCompressSync(plain, { dictionary: right });
  if (packed.length >= plain.length / 2) return false;
  if (!same(zstd.zstdDecompressSync(packed, { dictionary: right }), plain)) return false;
  try {
    return !same(zstd.zstdDecompressSync(packed, { dictionary: noise(512, 2) }), plain);
  } catch {
    return true;
  }
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}

/** Which zstd this process uses: for `tidegate version`, and the tests. */
export function zstdInUse(): { plain: "native" | "zstd-codec"; dictionary: typeof zstdPlain } {
  return { plain: zstdPlain, dictionary: dictionariesWork() ? "native" : "zstd-codec" };
}

const zstdPlain: "native" | "zstd-codec" = native === undefined ? "zstd-codec" : "native";

/**
 * Loads the package where the runtime's own zstd cannot do it. Call it before the functions below.
 */
export async function prepareZstd(options: { dictionaries: boolean }): Promise<void> {
  if (loaded !== undefined || (native !== undefined && !options.dictionaries)) return;
  if (options.dictionaries && dictionariesWork()) return;
  const { ZstdCodec } = await import("zstd-codec");
  loaded = await new Promise<Zstd>((resolve) => ZstdCodec.run(resolve));
}

function codec(): Zstd {
  assert(loaded !== undefined, "prepareZstd was called where the runtime has no zstd of its own");
  return loaded;
}

/** A zstd frame of `bytes`. @param level 1 to 19 */
export function zstdCompress(bytes: Uint8Array, level: number): Uint8Array {
  if (native !== undefined) {
    const params = { [native.constants.ZSTD_c_compressionLevel]: level };
    return native.zstdCompressSync(bytes, { params });
  }
  return must(new (codec().Simple)().compress(bytes, level));
}

/**
 * The bytes of a zstd frame.
 *
 * @param size how many there must be: no more are made, and a frame cut short is not let through
 * @throws Error when the frame is malformed or its content has another size
 */
export function zstdDecompress(frame: Uint8Array, size: number): Uint8Array {
  if (native === undefined) return sized(new (codec().Simple)().decompress(frame), size);
  return sized(native.zstdDecompressSync(frame, { maxOutputLength: Math.max(1, size) }), size);
}

/**
 * A zstd frame of `bytes` that refers to `dictionary`: any bytes that resemble them. The frame does
 * not say which dictionary it needs, and a wrong one gives wrong bytes: keep a checksum beside it.
 */
export function zstdCompressWith(
  dictionary: Uint8Array,
  bytes: Uint8Array,
  level: number,
): Uint8Array {
  if (native !== undefined && dictionariesWork()) {
    const params = { [native.constants.ZSTD_c_compressionLevel]: level };
    return native.zstdCompressSync(bytes, { params, dictionary });
  }
  const prepared = new (codec().Dict.Compression)(dictionary, level);
  try {
    return must(new (codec().Simple)().compressUsingDict(bytes, prepared));
  } finally {
    prepared.close();
  }
}

/** The bytes of a frame that {@link zstdCompressWith} made; otherwise as {@link zstdDecompress}. */
export function zstdDecompressWith(
  dictionary: Uint8Array,
  frame: Uint8Array,
  size: number,
): Uint8Array {
  if (native !== undefined && dictionariesWork()) {
    const maxOutputLength = Math.max(1, size);
    return sized(native.zstdDecompressSync(frame, { dictionary, maxOutputLength }), size);
  }
  const prepared = new (codec().Dict.Decompression)(dictionary);
  try {
    return sized(new (codec().Simple)().decompressUsingDict(frame, prepared), size);
  } finally {
    prepared.close();
  }
}

function must(bytes: Uint8Array | null): Uint8Array {
  if (bytes === null) throw new Error("zstd could not compress");
  return bytes;
}

function sized(bytes: Uint8Array | null, size: number): Uint8Array {
  if (bytes?.length === size) return bytes;
  throw new Error(`expected a zstd frame of ${size} bytes, found ${bytes?.length ?? "none"}`);
}
