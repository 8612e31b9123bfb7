// The bundle that `npm run build:deno` compiles, run by Deno in a directory without node_modules.
// The compiling itself needs a download that not every machine may make; this is all but that.

import { afterAll } from "bun:test";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { root } from "../harness/target.ts";
import { smoke } from "./smoke.ts";

const directory = mkdtempSync(`${tmpdir()}/tidegate-bundle-`);
cpSync(`${root}/dist/deno`, directory, { recursive: true });
afterAll(() => rmSync(directory, { recursive: true }));

const flags = ["-A", "--no-config", "--unstable-no-legacy-abort"];

smoke("Deno, bundled", [`${root}/node_modules/deno/deno`, "run", ...flags, `${directory}/main.js`]);
