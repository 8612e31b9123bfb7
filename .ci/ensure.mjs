// Brings node_modules in line with package-lock.json, and makes bun (and, when asked, deno) ready.
// Runs in Node before anything else of the project can, so it has no dependencies. Quick when
// nothing is missing. Usage: node .ci/ensure.mjs [deno]

import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const OLDEST_NODE = 20;

/** Ends the process with words that say what to do. */
function fail(message) {
  process.stderr.write(`tidegate: ${message}\n`);
  process.exit(1);
}

/** Runs a command, its output shown as errors so that standard output stays the program's own. */
function run(command, args, what) {
  const done = spawnSync(command, args, { cwd: root, stdio: ["ignore", 2, 2] });
  if (done.status === 0) return;
  fail(`${what} failed (${done.error?.message ?? `exit code ${done.status}`})`);
}

/** The packages of a lock file, without the project itself; undefined when there is no such file. */
function packagesOf(path) {
  if (!existsSync(path)) return undefined;
  const { packages } = JSON.parse(readFileSync(path, "utf8"));
  return Object.entries(packages).filter(([place]) => place !== "");
}

/** The first package that the lock file wants and node_modules has not, in words. */
function missingPackage() {
  const wanted = packagesOf(join(root, "package-lock.json"));
  if (!wanted) fail("package-lock.json is missing: is this a whole clone?");
  const present = new Map(packagesOf(join(root, "node_modules", ".package-lock.json")) ?? []);
  for (const [place, { version, optional }] of wanted) {
    const found = present.get(place)?.version;
    if (found === version || (optional && !found)) continue;
    return `${place.slice("node_modules/".length)} ${version}`;
  }
  return undefined;
}

/** Installs exactly what the lock file says. Install scripts are run by us, below. */
function install() {
  const missing = missingPackage();
  if (!missing) return;
  process.stderr.write(`tidegate: installing packages (${missing} is missing) ...\n`);
  const args = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
  const npm = process.env.npm_execpath;
  if (npm?.endsWith("npm-cli.js")) run(process.execPath, [npm, ...args], "npm ci");
  else run(process.platform === "win32" ? "npm.cmd" : "npm", args, "npm ci");
}

/** Whether `program` starts. */
function starts(program) {
  return spawnSync(program, ["--version"], { stdio: "ignore" }).status === 0;
}

/** bun and deno come as a package with an install script that puts the program in its place. */
function ready(name, program, script) {
  const path = join(root, "node_modules", program);
  if (existsSync(path) && starts(path)) return;
  run(process.execPath, [join(root, "node_modules", script)], `setting up ${name}`);
  if (!starts(path)) fail(`${name} does not start on this machine (${path})`);
}

if (Number(process.versions.node.split(".")[0]) < OLDEST_NODE) {
  fail(`Node ${OLDEST_NODE} or newer is needed, this is ${process.versions.node}`);
}
install();
ready("bun", "bun/bin/bun.exe", "bun/install.js");
if (process.argv.includes("deno")) {
  ready("deno", process.platform === "win32" ? "deno/deno.exe" : "deno/deno", "deno/install.cjs");
}
