// The binary forms of clocks: read back as they were written, and refused when anything was
// changed.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { MalformedBytes } from "../../src/clock/bytes.ts";
import { copyClock, equals } from "../../src/clock/clock.ts";
import { applyDelta, encodeDelta } from "../../src/clock/delta.ts";
import {
  decodePartitionClock,
  encodePartitionClock,
  type PartitionClock,
} from "../../src/clock/partition.ts";
import {
  decodeRowPositions,
  encodeRowPositions,
  type RowPosition,
} from "../../src/clock/row-positions.ts";
import { Segment, SegmentWriter } from "../../src/clock/segment.ts";
import type { Clock, Tick } from "../../src/clock/tick.ts";
import { decodeClock, encodeClock } from "../../src/clock/whole.ts";
import { anyClock, bothWays, clockAndLater, damaged, random } from "./support.ts";

/** Whether `read` refuses the bytes as malformed; anything else that it throws is an error. */
function refuses(read: () => unknown): boolean {
  try {
    read();
    return false;
  } catch (error) {
    if (!(error instanceof MalformedBytes)) throw error;
    return true;
  }
}

describe("a whole clock", () => {
  test("is read back, whatever it looks like", () => {
    fc.assert(
      fc.property(anyClock, (clock) => {
        expect(decodeClock(encodeClock(clock))).toEqual(clock);
        expect(decodeClock(encodeClock(clock, "small"))).toEqual(clock);
      }),
      { numRuns: 300 },
    );
  });

  test("keeps the order of clocks", () => {
    fc.assert(
      fc.property(clockAndLater, ([clock, later]) => {
        const before = decodeClock(encodeClock(clock));
        const after = decodeClock(encodeClock(later));
        expect(before.every((seq, vb) => seq <= after[vb]!)).toBe(true);
      }),
      { numRuns: 100 },
    );
  });

  test("is refused when anything of it was changed, cut off or added", () => {
    const next = random(5);
    fc.assert(
      fc.property(anyClock, (clock) => {
        for (const bytes of damaged(encodeClock(clock), next, 60)) {
          expect(refuses(() => decodeClock(bytes))).toBe(true);
        }
      }),
      { numRuns: 60 },
    );
  });

  test("of a newer version is refused as such", () => {
    const bytes = Uint8Array.of(0x08, 9, ...encodeClock(Float64Array.of(1, 2)));
    expect(() => decodeClock(bytes)).toThrow("checksum");
  });
});

describe("a delta", () => {
  test("leads from the one clock to the other, forwards and backwards", () => {
    fc.assert(
      fc.property(clockAndLater, fc.nat(), ([a, b], seed) => {
        for (const [from, to] of bothWays(a, b)) {
          const clock = copyClock(from);
          applyDelta(clock, encodeDelta(from, to, seed), seed);
          expect(clock).toEqual(to);
        }
      }),
      { numRuns: 300 },
    );
  });

  test("grows with what changed", () => {
    const base = new Float64Array(1024).fill(1e6);
    const next = random(6);
    const sizeOf = (writes: number) => {
      const clock = base.slice();
      for (let write = 0; write < writes; write++) clock[Math.floor(next() * 1024)]! += 1;
      return encodeDelta(base, clock).length;
    };
    expect(sizeOf(1)).toBeLessThanOrEqual(5);
    expect(sizeOf(10)).toBeLessThanOrEqual(17);
    expect(sizeOf(100)).toBeLessThanOrEqual(78);
    expect(sizeOf(1000)).toBeLessThanOrEqual(300);
  });

  test("is refused on any other base than its own", () => {
    const next = random(7);
    const wrong = { tried: 0, accepted: 0 };
    fc.assert(
      fc.property(clockAndLater, ([from, to]) => {
        const delta = encodeDelta(from, to);
        for (let run = 0; run < 10; run++) {
          const base = from.slice();
          const vb = Math.floor(next() * base.length);
          base[vb] = base[vb]! > 0 ? base[vb]! - 1 : 1;
          wrong.tried++;
          if (!refuses(() => applyDelta(base, delta))) wrong.accepted++;
        }
      }),
      { numRuns: 200 },
    );
    // The short check of small deltas has 16 bits.
    expect(wrong.accepted / wrong.tried).toBeLessThan(0.005);
  });

  test("is refused when anything of it was changed", () => {
    const next = random(8);
    const wrong = { tried: 0, accepted: 0 };
    fc.assert(
      fc.property(clockAndLater, ([from, to]) => {
        for (const bytes of damaged(encodeDelta(from, to), next, 40)) {
          wrong.tried++;
          const clock = from.slice();
          if (refuses(() => applyDelta(clock, bytes))) continue;
          // Sixteen bits of check let one in 65,536 through, which then differs.
          wrong.accepted++;
        }
      }),
      { numRuns: 100 },
    );
    expect(wrong.tried).toBeGreaterThan(2000);
    expect(wrong.accepted).toBeLessThanOrEqual(2);
  });

  test("a single wrong bit in a small delta is always found", () => {
    const base = new Float64Array(1024).fill(5000);
    const next = random(9);
    for (let run = 0; run < 300; run++) {
      const clock = base.slice();
      for (let write = 0; write <= run % 20; write++) clock[Math.floor(next() * 1024)]! += 1;
      const bytes = encodeDelta(base, clock);
      for (let bit = 0; bit < bytes.length * 8; bit++) {
        const flipped = bytes.slice();
        flipped[bit >> 3]! ^= 1 << (bit & 7);
        const target = base.slice();
        const found = refuses(() => applyDelta(target, flipped)) || equals(target, clock);
        if (!found) throw new Error(`run ${run}, bit ${bit} went unnoticed`);
      }
    }
  });
});

describe("a segment", () => {
  const history = fc
    .tuple(
      anyClock.filter((clock) => clock.length > 2),
      fc.array(fc.tuple(fc.integer({ min: 1, max: 1e6 }), fc.nat(400), fc.nat()), {
        minLength: 1,
        maxLength: 60,
      }),
    )
    .map(([start, steps]) => {
      const ticks: { tick: Tick; clock: Clock }[] = [];
      let tick = 1_700_000_000_000;
      let clock = start;
      for (const [gap, writes, seed] of steps) {
        const next = random(seed);
        tick += gap;
        clock = clock.slice();
        for (let write = 0; write < writes; write++) {
          const vb = Math.floor(next() * clock.length);
          clock[vb] = Math.min(Number.MAX_SAFE_INTEGER, clock[vb]! + 1);
        }
        ticks.push({ tick: tick as Tick, clock });
      }
      return ticks;
    });

  function write(ticks: readonly { tick: Tick; clock: Clock }[]): Uint8Array {
    const writer = new SegmentWriter(64);
    for (const { tick, clock } of ticks) writer.add(writer.encode(tick, clock));
    return writer.view().slice();
  }

  test("has every tick with its clock", () => {
    fc.assert(
      fc.property(history, (ticks) => {
        const segment = new Segment(write(ticks), ticks[0]!.clock.length);
        expect(segment.damage).toBeUndefined();
        expect(segment.size).toBe(ticks.length);
        for (const [index, { tick, clock }] of ticks.entries()) {
          expect(segment.tickAt(index)).toBe(tick);
          expect(segment.clockAt(index)).toEqual(clock);
          expect(segment.indexOf(tick)).toBe(index);
          expect(segment.indexOf((tick - 1) as Tick)).toBe(index - 1);
        }
      }),
      { numRuns: 60 },
    );
  });

  test("damaged gives fewer clocks, never a wrong one", () => {
    const next = random(10);
    let lost = 0;
    fc.assert(
      fc.property(history, (ticks) => {
        const right = new Map(ticks.map(({ tick, clock }) => [tick, clock]));
        for (const bytes of damaged(write(ticks), next, 25)) {
          const segment = new Segment(bytes, ticks[0]!.clock.length);
          for (let index = 0; index < segment.size; index++) {
            if (refuses(() => segment.clockAt(index))) {
              lost++;
              continue;
            }
            expect(segment.clockAt(index)).toEqual(right.get(segment.tickAt(index))!);
          }
        }
      }),
      { numRuns: 30 },
    );
    expect(lost).toBeGreaterThan(100);
  });
});

describe("a partition's clock", () => {
  const partition: fc.Arbitrary<PartitionClock> = fc
    .tuple(fc.constantFrom(64, 1024, 65536), fc.nat(), fc.boolean())
    .chain(([vbuckets, seed, branched]) =>
      fc.uniqueArray(fc.nat(vbuckets - 1), { minLength: 1, maxLength: 64 }).map((vbs) => {
        const next = random(seed);
        const vbuuid = () =>
          Array.from({ length: 16 }, () => Math.floor(next() * 16).toString(16)).join("");
        const entries = vbs
          .sort((a, b) => a - b)
          .map((vb) => {
            const count = branched ? 1 + Math.floor(next() * 4) : 1;
            const branches = Array.from({ length: count }, (_, index) => ({
              vbuuid: vbuuid(),
              seq: (count - index - 1) * Math.floor(next() * 1e6),
            }));
            return { vb, seq: Math.floor(next() * 1e9), branches };
          });
        return { vbuckets, entries };
      }),
    );

  test("is read back with its branches", () => {
    fc.assert(
      fc.property(partition, (clock) => {
        expect(decodePartitionClock(encodePartitionClock(clock))).toEqual(clock);
      }),
      { numRuns: 200 },
    );
  });

  test("is refused when anything of it was changed", () => {
    const next = random(11);
    fc.assert(
      fc.property(partition, (clock) => {
        for (const bytes of damaged(encodePartitionClock(clock), next, 60)) {
          expect(refuses(() => decodePartitionClock(bytes))).toBe(true);
        }
      }),
      { numRuns: 40 },
    );
  });
});

describe("the positions of a batch of rows", () => {
  const rows = fc
    .tuple(fc.nat(), fc.nat(300), fc.constantFrom(1, 4, 1024, 65536), fc.boolean())
    .map(([seed, count, vbuckets, far]) => {
      const next = random(seed);
      const seqs = new Map<string, RowPosition>();
      for (let row = 0; row < count; row++) {
        const vb = Math.floor(next() * vbuckets);
        const seq = 1 + Math.floor(next() * (far ? Number.MAX_SAFE_INTEGER - 1 : 1000));
        seqs.set(`${vb}.${seq}`, { vb, seq });
      }
      return [...seqs.values()].sort((a, b) => a.vb - b.vb || a.seq - b.seq);
    });

  test("are read back, whatever they are", () => {
    fc.assert(
      fc.property(rows, (positions) => {
        expect(decodeRowPositions(encodeRowPositions(positions))).toEqual(positions);
      }),
      { numRuns: 300 },
    );
  });

  test("take less than two bytes a row", () => {
    const next = random(12);
    for (const share of [1, 0.1, 0.01]) {
      const positions: RowPosition[] = [];
      for (let vb = 0; vb < 1024 && positions.length < 1000; vb++) {
        for (let seq = 1_000_000; seq < 1_001_000 && positions.length < 1000; seq++) {
          if (next() < share) positions.push({ vb, seq });
        }
      }
      expect(encodeRowPositions(positions).length / positions.length).toBeLessThan(2);
    }
  });

  test("are refused when they are cut short, and never read as anything but rows", () => {
    const next = random(13);
    fc.assert(
      fc.property(rows, (positions) => {
        const right = encodeRowPositions(positions);
        for (let length = 0; length < right.length; length++) {
          expect(refuses(() => decodeRowPositions(right.subarray(0, length)))).toBe(true);
        }
        for (const bytes of damaged(right, next, 30)) {
          if (refuses(() => decodeRowPositions(bytes))) continue;
          const read = decodeRowPositions(bytes);
          expect(read.every(({ seq }) => Number.isSafeInteger(seq))).toBe(true);
        }
      }),
      { numRuns: 40 },
    );
  });
});
