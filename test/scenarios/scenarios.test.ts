// Runs every scenario file of this directory with the runner of its story: `core-…` steps the
// controller's core alone, `database-…` a whole database.

import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { databaseStory } from "./database-story.ts";
import { runScenario } from "./scenario-file.ts";
import { validationStory } from "./validation-story.ts";

const directory = import.meta.dirname;
const files = readdirSync(directory).filter((name) => name.endsWith(".txt"));

for (const file of files) {
  test(`scenario ${file}`, async () => {
    const { run, end } = file.startsWith("core-")
      ? { run: validationStory(), end: () => {} }
      : databaseStory();
    try {
      const { expected, actual } = await runScenario(join(directory, file), run);
      expect(actual).toBe(expected);
    } finally {
      end();
    }
  });
}

test("there are scenarios of both kinds", () => {
  for (const kind of ["core-", "database-"]) {
    expect(files.filter((name) => name.startsWith(kind)).length).toBeGreaterThan(3);
  }
});
