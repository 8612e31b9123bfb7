// Runs every scenario file of this directory with the runner of its story.

import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { runScenario } from "./scenario-file.ts";
import { validationStory } from "./validation-story.ts";

const directory = import.meta.dirname;

for (const file of readdirSync(directory).filter((name) => name.startsWith("core-"))) {
  test(`scenario ${file}`, async () => {
    const { expected, actual } = await runScenario(join(directory, file), validationStory());
    expect(actual).toBe(expected);
  });
}
