// The gateway as the executable that `npm run build` makes, in a directory without node_modules.
// test/run.ts builds it before; by itself this file wants it to be there.

import { expect, test } from "bun:test";
import { statSync } from "node:fs";
import { root } from "../harness/target.ts";
import { smoke } from "./smoke.ts";

const executable = `${root}/dist/tidegate`;

test("the executable is there, and is one file of a bearable size", () => {
  expect(statSync(executable).size).toBeLessThan(200 * 1024 * 1024);
});

smoke("the executable", [executable]);
