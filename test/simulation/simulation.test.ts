// Seeded simulations of a database: what a seed did can be run again with SIM_SEED and SIM_RUNS=1.

import { test } from "bun:test";
import process from "node:process";
import { runOptions, simulate } from "./simulation.ts";

const FIRST_SEED = Number(process.env.SIM_SEED ?? Math.floor(Math.random() * 1_000_000));
const RUNS = Number(process.env.SIM_RUNS ?? 6);
const STEPS = Number(process.env.SIM_STEPS ?? 250);
const trace = process.env.SIM_TRACE ? console.log : undefined;

for (let i = 0; i < RUNS; i++) {
  const options = runOptions(FIRST_SEED + i, STEPS);
  const { seed, nodes, settings } = options;
  const name = `seed ${seed}: ${nodes} node(s), written by the ${settings.index.writer}`;
  test(`every invariant holds in the run of ${name}`, async () => {
    // It throws what was violated.
    await simulate({ ...options, ...(trace ? { trace } : {}) });
  }, 60_000);
}
