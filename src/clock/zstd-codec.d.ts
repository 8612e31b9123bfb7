// The part of the package zstd-codec that zstd.ts uses. The package has no types of its own.

declare module "zstd-codec" {
  export interface CompressionDictionary {
    close(): void;
  }
  export interface DecompressionDictionary {
    close(): void;
  }
  export interface Simple {
    /** Null when it failed. */
    compress(bytes: Uint8Array, level: number): Uint8Array | null;
    decompress(bytes: Uint8Array): Uint8Array | null;
    compressUsingDict(bytes: Uint8Array, dictionary: CompressionDictionary): Uint8Array | null;
    decompressUsingDict(bytes: Uint8Array, dictionary: DecompressionDictionary): Uint8Array | null;
  }
  export interface Zstd {
    readonly Simple: new () => Simple;
    readonly Dict: {
      readonly Compression: new (bytes: Uint8Array, level: number) => CompressionDictionary;
      readonly Decompression: new (bytes: Uint8Array) => DecompressionDictionary;
    };
  }
  export const ZstdCodec: { run(ready: (zstd: Zstd) => void): void };
}
