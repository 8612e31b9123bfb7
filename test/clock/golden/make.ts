// Writes the golden bytes of a new version: `bun test/clock/golden/make.ts v2`. Never over an old
// one.

import { existsSync, writeFileSync } from "node:fs";
import { codecNames, encodePayload } from "../../../src/clock/codec/payload.ts";
import { encodeDelta } from "../../../src/clock/delta.ts";
import { encodePartitionClock } from "../../../src/clock/partition.ts";
import { SegmentWriter } from "../../../src/clock/segment.ts";
import { formatSequence } from "../../../src/clock/sequence.ts";
import type { Tick } from "../../../src/clock/tick.ts";
import { encodeClock } from "../../../src/clock/whole.ts";
import { random, shapes } from "../support.ts";
import { digestOfTables, type Golden } from "./golden.ts";

const version = process.argv[2];
if (!/^v\d+$/.test(version ?? "")) throw new Error("usage: make.ts vN");
const path = new URL(`./${version}.json`, import.meta.url);
if (existsSync(path)) throw new Error(`${version} is written already, and must stay as it is`);

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const all: Golden[] = [{ form: "tables", name: "tables", sha256: digestOfTables() }];
const next = random(20_251_121);

for (const [shape, make] of Object.entries(shapes)) {
  const clock = make(shape === "repeating" ? 192 : 48, next);
  for (const codec of codecNames) {
    const payload = encodePayload(clock, "small", codec);
    if (payload === undefined) continue;
    const name = `${shape} by ${codec}`;
    all.push({ form: "payload", name, hex: hex(payload), clock: [...clock] });
  }
  all.push({
    form: "whole",
    name: shape,
    hex: hex(encodeClock(clock, "small")),
    clock: [...clock],
  });
}

const large = shapes.Poisson!(1024, next);
all.push({
  form: "whole",
  name: "1,024 vbuckets",
  hex: hex(encodeClock(large)),
  clock: [...large],
});

for (const writes of [0, 1, 3, 20, 200, 5000]) {
  const base = shapes.Poisson!(64, next);
  const clock = base.slice();
  for (let write = 0; write < writes; write++) clock[Math.floor(next() * 64)]! += 1;
  const [from, to] = [[...base], [...clock]];
  const name = `${writes} writes`;
  all.push({ form: "delta", name, hex: hex(encodeDelta(base, clock)), base: from, clock: to });
  all.push({
    form: "delta",
    name: `${name} back`,
    hex: hex(encodeDelta(clock, base)),
    base: to,
    clock: from,
  });
}

const writer = new SegmentWriter(1024);
const ticks: number[] = [];
const clocks: number[][] = [];
let clock = shapes.Poisson!(32, next);
for (let at = 0; at < 50; at++) {
  clock = clock.map((seq) => seq + (next() < 0.2 ? 1 : 0));
  ticks.push(1_763_685_600_000 + at * 25 + Math.floor(next() * 20));
  clocks.push([...clock]);
  writer.add(writer.encode(ticks.at(-1)! as Tick, clock));
}
all.push({ form: "segment", name: "fifty ticks", hex: hex(writer.view()), ticks, clocks });

const entries = [3, 4, 9, 700].map((vb, at) => ({
  vb,
  seq: at * 1000,
  branches: Array.from({ length: at + 1 }, (_, branch) => ({
    vbuuid: Math.floor(next() * 2 ** 48)
      .toString(16)
      .padStart(16, "f"),
    seq: (at - branch) * 100,
  })),
}));
const partition = { vbuckets: 1024, entries };
all.push({
  form: "partition",
  name: "branches",
  hex: hex(encodePartitionClock(partition)),
  partition,
});

const sequence = shapes["long tail"]!(64, next);
const text = formatSequence({ kind: "clock", clock: sequence });
all.push({ form: "sequence", name: "a whole clock", text, clock: [...sequence] });

const lines = all.map((golden) => JSON.stringify(golden));
writeFileSync(path, `[\n${lines.join(",\n")}\n]\n`);
