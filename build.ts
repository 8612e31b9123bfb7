// Builds the executable: `bun build.ts` makes dist/tidegate with Bun inside, `bun build.ts deno`
// makes dist/tidegate-deno with Deno inside. Both run in an empty directory.

import { existsSync, mkdirSync, readdirSync, statSync } from "node:fs";
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

mkdirSync(dist, { recursive: true });
const outfile = await buildBun();
console.log(`${outfile}: ${(statSync(outfile).size / 1024 ** 2).toFixed(0)} MB`);
