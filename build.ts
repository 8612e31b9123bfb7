// Builds the executable: `bun build.ts` makes dist/tidegate with Bun inside, `bun build.ts deno`
// makes dist/tidegate-deno with Deno inside; both run in an empty directory. `bun build.ts bundle`
// makes dist/deno, the files that the latter is compiled from.

import { existsSync, mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { type BunPlugin, Glob } from "bun";

const root = import.meta.dir;
const source = join(root, "src");
const dist = join(root, "dist");

/** The commit to put in: git's, marked when the work tree differs; undefined without git. */
function commitOf(): string | undefined {
  const git = (...args: string[]) => {
    const done = Bun.spawnSync(["git", ...args], { cwd: root, stderr: "ignore" });
    return done.exitCode === 0 ? done.stdout.toString().trim() : undefined;
  };
  if (!existsSync(join(root, ".git"))) return undefined;
  const commit = git("rev-parse", "--short=12", "HEAD");
  const changed = git("status", "--porcelain", "--untracked-files=no");
  return commit && (changed ? `${commit}+` : commit);
}

/** Couchbase's native client for this platform: the one .node file of its package. */
function nativeClient(): string {
  const musl = process.platform === "linux" && existsSync("/etc/alpine-release") ? "musl" : "";
  const name = `@couchbase/couchbase-${process.platform}${musl}-${process.arch}-napi`;
  const require = createRequire(join(root, "node_modules", "couchbase", "package.json"));
  const directory = dirname(require.resolve(`${name}/package.json`));
  const file = readdirSync(directory).find((one) => one.endsWith(".node"));
  if (!file) throw new Error(`${name} has no .node file`);
  return join(directory, file);
}

/**
 * Couchbase finds its native client at run time by looking through node_modules. In an executable
 * there is none: the search is replaced by a plain `require`, which the bundler follows.
 */
const withNativeClient: BunPlugin = {
  name: "couchbase-native-client",
  setup(build) {
    const client = nativeClient();
    build.onLoad({ filter: /couchbase[\\/]scripts[\\/]prebuilds\.js$/ }, () => ({
      contents: `exports.loadPrebuild = () => require(${JSON.stringify(client)});`,
      loader: "js",
    }));
  },
};

/** The package's main file hides its parts from a bundler that does not prefer ES modules. */
const withJsoncModule: BunPlugin = {
  name: "jsonc-parser-module",
  setup(build) {
    const path = join(root, "node_modules", "jsonc-parser", "lib", "esm", "main.js");
    build.onResolve({ filter: /^jsonc-parser$/ }, () => ({ path }));
  },
};

/** Files that run as threads: further entries, at the path in the executable that they have in src. */
function workers(): string[] {
  return [...new Glob("**/*-worker.ts").scanSync({ cwd: source, absolute: true })].sort();
}

async function buildBun(): Promise<string> {
  const outfile = join(dist, process.platform === "win32" ? "tidegate.exe" : "tidegate");
  const commit = commitOf();
  const result = await Bun.build({
    entrypoints: [join(source, "main.ts"), ...workers()],
    root: source,
    target: "bun",
    plugins: [withNativeClient],
    define: commit ? { TIDEGATE_COMMIT: JSON.stringify(commit) } : {},
    compile: { outfile },
  });
  for (const message of result.logs) console.error(String(message));
  if (!result.success) throw new Error("the build failed");
  return outfile;
}

/** A bundle for Deno with the native client beside it; it runs by itself: deno run -A main.js */
async function buildBundle(): Promise<string> {
  const outdir = join(dist, "deno");
  rmSync(outdir, { recursive: true, force: true });
  const commit = commitOf();
  const result = await Bun.build({
    entrypoints: [join(source, "main.ts"), ...workers()],
    root: source,
    outdir,
    target: "node",
    format: "esm",
    plugins: [withNativeClient, withJsoncModule],
    define: commit ? { TIDEGATE_COMMIT: JSON.stringify(commit) } : {},
  });
  for (const message of result.logs) console.error(String(message));
  if (!result.success) throw new Error("the bundle failed");
  return join(outdir, "main.js");
}

/**
 * An executable of the bundle. `deno compile` takes the runtime for it from Deno's own download
 * site, once: without that site, give a `denort` of the same version by DENORT_BIN.
 */
async function buildDeno(): Promise<string> {
  const main = await buildBundle();
  const outdir = dirname(main);
  const outfile = join(dist, process.platform === "win32" ? "tidegate-deno.exe" : "tidegate-deno");
  const deno = join(
    root,
    "node_modules",
    "deno",
    process.platform === "win32" ? "deno.exe" : "deno",
  );
  const flags = ["-A", "--no-check", "--no-config", "--unstable-no-legacy-abort"];
  const done = Bun.spawnSync(
    [deno, "compile", ...flags, "--include", outdir, "-o", outfile, main],
    { cwd: outdir, stdout: "inherit", stderr: "pipe" },
  );
  if (done.exitCode === 0) return outfile;
  const said = done.stderr.toString();
  console.error(said);
  if (!said.includes("denort")) throw new Error("deno compile failed");
  throw new Error(
    "deno compile needs `denort`, which it downloads from Deno's site and could not. Give a denort " +
      `of the same version by DENORT_BIN. The bundle is complete: deno run -A ${main}`,
  );
}

mkdirSync(dist, { recursive: true });
try {
  const builds = { bun: buildBun, deno: buildDeno, bundle: buildBundle };
  const wanted = (process.argv[2] ?? "bun") as keyof typeof builds;
  if (!builds[wanted]) throw new Error(`expected one of ${Object.keys(builds).join(", ")}`);
  const outfile = await builds[wanted]();
  console.log(`${outfile}: ${(statSync(outfile).size / 1024 ** 2).toFixed(0)} MB`);
} catch (error) {
  console.error(`build: ${(error as Error).message}`);
  process.exit(1);
}
