// Couchbase's own mock, `gocaves`: built by Go where a machine has it, or named by GOCAVES. What does
// not live here: what it is used for.

import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const MODULE = "github.com/couchbaselabs/gocaves";
/** The newest version of the module's own. */
const VERSION = "latest";
/** How long Go may take to fetch and build it. */
const BUILD_LIMIT_MS = 120_000;
const START_LIMIT_MS = 10_000;
/** What is kept of its output: it says where it listens at the beginning. */
const MAX_OUTPUT = 100_000;

/** The mock, running. */
export interface Gocaves {
  /** `HOST:PORT,HOST:PORT` of its data nodes. */
  readonly nodes: string;
  stop(): Promise<void>;
}

/** What a command printed. Rejects with its complaint when it fails. */
async function run(command: readonly string[], cwd: string): Promise<string> {
  const child = Bun.spawn([...command], {
    cwd,
    stdout: "pipe",
    stderr: "pipe",
    timeout: BUILD_LIMIT_MS,
    env: { ...process.env, GOFLAGS: "-mod=mod" },
  });
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  if ((await child.exited) === 0) return out;
  throw new Error((err.trim() || out.trim()).split("\n").slice(-4).join(" "));
}

/**
 * The executable, and what removes it again; or why there is none on this machine.
 */
async function executable(): Promise<{ path: string; remove(): void } | { missing: string }> {
  const named = process.env.GOCAVES;
  if (named !== undefined) {
    return existsSync(named) ? { path: named, remove() {} } : { missing: `${named} is not there` };
  }
  if (Bun.which("go") === null) return { missing: "this machine has no Go" };
  const directory = mkdtempSync(join(tmpdir(), "gocaves-"));
  const remove = () => rmSync(directory, { recursive: true, force: true });
  try {
    const module = `${MODULE}@${VERSION}`;
    const { Dir } = JSON.parse(await run(["go", "mod", "download", "-json", module], directory));
    // The download is read-only, and a step before the build writes into it.
    await run(["cp", "-r", "--no-preserve=mode", `${Dir}/.`, directory], directory);
    // A download has no modules inside the module.
    await run(["go", "mod", "edit", `-dropreplace=${MODULE}/client`], directory);
    await run(["go", "run", "tools/prebuildstep.go"], directory);
    const path = join(directory, "gocaves-built");
    await run(["go", "build", "-o", path, "."], directory);
    return { path, remove };
  } catch (error) {
    remove();
    return { missing: `Go could not get it: ${(error as Error).message.slice(0, 300)}` };
  }
}

/** Starts the mock; undefined, with a line that says why, where it can't be had. */
export async function startGocaves(): Promise<Gocaves | undefined> {
  const found = await executable();
  if ("missing" in found) {
    console.log(`SKIPPED: the tests against gocaves, Couchbase's mock: ${found.missing}`);
    return undefined;
  }
  const child = Bun.spawn([found.path, "-mock-only"], { stdout: "pipe", stderr: "pipe" });
  const stop = async () => {
    child.kill("SIGKILL");
    await child.exited;
    found.remove();
  };
  const late = setTimeout(() => child.kill("SIGKILL"), START_LIMIT_MS);
  let text = "";
  const nodes = await new Promise<string | undefined>((resolve) => {
    // Read to its end: the mock goes on writing, and dies when nobody reads.
    void (async () => {
      const decoder = new TextDecoder();
      for await (const chunk of child.stderr) {
        if (text.length < MAX_OUTPUT) text += decoder.decode(chunk, { stream: true });
        const found = /"connstr":"couchbase:\/\/([^"]+)"/.exec(text)?.[1];
        if (found !== undefined) resolve(found);
      }
      resolve(undefined);
    })();
  });
  clearTimeout(late);
  if (nodes !== undefined) return { nodes, stop };
  await stop();
  throw new Error(`gocaves did not start:\n${text}`);
}
