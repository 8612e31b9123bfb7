// Seeded simulations of a database: what a seed did can be run again with SIM_SEED and SIM_RUNS=1.

import { test } from "bun:test";
import process from "node:process";
import { simulate } from "./simulation.ts";

const FIRST_SEED = Number(process.env.SIM_SEED ?? Math.floor(Math.random() * 1_000_000));
const RUNS = Number(process.env.SIM_RUNS ?? 6);
const STEPS = Number(process.env.SIM_STEPS ?? 250);
const trace = process.env.SIM_TRACE ? console.log : undefined;

for (let i = 0; i < RUNS; i++) {
  const seed = FIRST_SEED + i;
  const nodes = 1 + (seed % 2);
  test(`a run of seed ${seed} with ${nodes} node(s) keeps every invariant`, async () => {
    // It throws what was violated: a test that says no more than that would hide it.
    await simulate({ seed, steps: STEPS, nodes, ...(trace ? { trace } : {}) });
  }, 60_000);
}
