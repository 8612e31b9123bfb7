// Byte ranges: what is understood, what is ignored, what cannot be satisfied.

import { expect, test } from "bun:test";
import { byteRange } from "../../src/server/byte-range.ts";

const table: [header: string | undefined, length: number, range: unknown][] = [
  [undefined, 10, undefined],
  ["bytes=0-0", 10, { from: 0, to: 0 }],
  ["bytes=2-5", 10, { from: 2, to: 5 }],
  ["bytes=2-", 10, { from: 2, to: 9 }],
  ["bytes=2-99", 10, { from: 2, to: 9 }],
  ["bytes=-3", 10, { from: 7, to: 9 }],
  ["bytes=-99", 10, { from: 0, to: 9 }],
  ["Bytes = 1-2", 10, { from: 1, to: 2 }],
  ["bytes=10-", 10, "unsatisfiable"],
  ["bytes=0-", 0, "unsatisfiable"],
  ["bytes=-0", 10, "unsatisfiable"],
  ["bytes=-5", 0, "unsatisfiable"],
  ["bytes=5-2", 10, undefined],
  ["bytes=-", 10, undefined],
  ["bytes=0-1,3-4", 10, undefined],
  ["items=0-1", 10, undefined],
  ["bytes=a-b", 10, undefined],
];

for (const [header, length, range] of table) {
  test(`${header} of ${length} bytes`, () => {
    expect(byteRange(header, length)).toEqual(range as never);
  });
}
