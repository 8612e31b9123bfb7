// Checks the golden bytes on the runtime that runs this, and which zstd it takes: for the other
// runtime.

import {
  prepareZstd,
  zstdCompressWith,
  zstdDecompressWith,
  zstdInUse,
} from "../../../src/clock/zstd.ts";
import { check, readGolden } from "./golden.ts";

const all = readGolden("v1");
for (const golden of all) {
  const { found, expected } = check(golden);
  if (found !== expected) throw new Error(`${golden.form} ${golden.name} is read as ${found}`);
}

await prepareZstd({ dictionaries: true });
const right = Uint8Array.from({ length: 600 }, (_, at) => (at * 7) % 251);
const wrong = Uint8Array.from({ length: 600 }, (_, at) => (at * 5) % 241);
const plain = right.slice(100, 400);
const frame = zstdCompressWith(right, plain, 3);
const back = zstdDecompressWith(right, frame, plain.length);
if (Buffer.compare(back, plain) !== 0) throw new Error("the right dictionary gives other bytes");
let noticed = false;
try {
  noticed = Buffer.compare(zstdDecompressWith(wrong, frame, plain.length), plain) !== 0;
} catch {
  noticed = true;
}
if (!noticed) throw new Error("the dictionary is ignored");
console.log(JSON.stringify({ golden: all.length, zstd: zstdInUse() }));
