// Every command of README.md and of the numbered docs is run here, in order, page by page.
//
// The word after a fence's language says how: `sh` is run by bash and must succeed; `sh background`
// starts a server and goes on when it answers; `sh named` is not run but must name things that
// exist; `js` is run by Bun; `js sync-function` is given to the gateway; `jsonc` must be settings.

import { afterAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "../src/config/load.ts";
import { freePort } from "./harness/target.ts";

const root = new URL("..", import.meta.url).pathname;
const pages = [
  "README.md",
  ...[
    "01-getting-started",
    "02-configuration",
    "04-inspect",
    "07-building",
    "08-access",
    "09-tokens",
  ].map((page) => `docs/${page}.md`),
];

interface Block {
  readonly line: number;
  readonly language: string;
  readonly text: string;
}

function blocksOf(page: string): Block[] {
  const text = readFileSync(join(root, page), "utf8");
  return [...text.matchAll(/^```(\w[^\n]*)\n([\s\S]*?)^```$/gm)].map((match) => ({
    line: text.slice(0, match.index).split("\n").length,
    language: match[1] ?? "",
    text: match[2] ?? "",
  }));
}

/** A page being read: its own ports, its own directory, its own servers. */
class Reader {
  readonly directory = mkdtempSync(join(tmpdir(), "tidegate-docs-"));
  readonly scripts = mkdtempSync(join(mkdirs(join(root, ".cache")), "docs-"));
  readonly #servers: Bun.Subprocess[] = [];
  #ports: readonly number[] = [];

  async open(): Promise<void> {
    this.#ports = [await freePort(), await freePort(), await freePort()];
    const bin = mkdirs(join(this.directory, "bin"));
    const program = `#!/bin/sh\nexec "${process.execPath}" "${root}src/main.ts" "$@"\n`;
    writeFileSync(join(bin, "tidegate"), program);
    chmodSync(join(bin, "tidegate"), 0o755);
    symlinkSync(join(root, "node_modules/deno/deno"), join(bin, "deno"));
  }

  /** The text with the ports of this run in place of the default ones. */
  #here(text: string): string {
    return [4984, 4985, 4986].reduce(
      (all, port, at) => all.replaceAll(`:${port}`, `:${this.#ports[at]}`),
      text,
    );
  }

  #spawn(text: string, cwd: string): Bun.Subprocess<"ignore", "pipe", "pipe"> {
    const prelude = 'set -euo pipefail; curl() { command curl --fail-with-body -sS "$@"; }\n';
    return Bun.spawn(["bash", "-c", prelude + this.#here(text)], {
      cwd,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      env: {
        ...process.env,
        PATH: `${this.directory}/bin:${process.env.PATH}`,
        TIDEGATE_DATA: join(this.directory, "data"),
        TIDEGATE_PUBLIC: `127.0.0.1:${this.#ports[0]}`,
        TIDEGATE_ADMIN: `127.0.0.1:${this.#ports[1]}`,
        TIDEGATE_METRICS: `127.0.0.1:${this.#ports[2]}`,
      },
    });
  }

  /** Runs a block to its end; gives back what it printed. Throws when it fails. */
  async run(text: string, cwd = this.directory): Promise<string> {
    // What runs the source, or what was built of it, is run where these are.
    const place = /\b(src|dist)\//.test(text) ? root : cwd;
    const child = this.#spawn(text, place);
    const outputs = [new Response(child.stdout).text(), new Response(child.stderr).text()];
    const output = (await Promise.all(outputs)).join("");
    if ((await child.exited) !== 0) throw new Error(`failed:\n${text}\n${output}`);
    return output;
  }

  runScript(text: string): Promise<string> {
    writeFileSync(join(this.scripts, "example.mjs"), this.#here(text));
    return this.run(`"${process.execPath}" "${this.scripts}/example.mjs"`, this.scripts);
  }

  /** Starts a server; resolves when its public listener answers. */
  async background(text: string): Promise<void> {
    // Not `npm` itself, which would hide the server behind two processes more.
    const scripts = JSON.parse(readFileSync(join(root, "package.json"), "utf8")).scripts;
    const isStart = text.trim() === "npm start";
    const command = isStart ? scripts.start.replace("bun run", `"${process.execPath}"`) : text;
    const cwd = isStart ? root : this.directory;
    const child = this.#spawn(command.replace(/(\S+ \S+ serve|tidegate serve)/, "exec $1"), cwd);
    this.#servers.push(child);
    const until = Date.now() + 60_000;
    for (;;) {
      const answer = await fetch(this.#here("http://127.0.0.1:4984/")).catch(() => undefined);
      if (answer?.ok) return;
      if (child.exitCode !== null || Date.now() > until) {
        throw new Error(`no server by:\n${text}\n${await new Response(child.stderr).text()}`);
      }
      await Bun.sleep(20);
    }
  }

  async putSyncFunction(text: string): Promise<number> {
    const url = this.#here("http://127.0.0.1:4985/example-of-the-docs");
    const body = JSON.stringify({ syncFunction: text });
    const answer = await fetch(url, { method: "PUT", body });
    return answer.status;
  }

  async close(): Promise<void> {
    for (const server of this.#servers) server.kill("SIGTERM");
    const codes = await Promise.all(this.#servers.map((server) => server.exited));
    rmSync(this.directory, { recursive: true });
    rmSync(this.scripts, { recursive: true });
    expect(codes.filter((code) => code !== 0)).toEqual([]);
  }
}

function mkdirs(path: string): string {
  mkdirSync(path, { recursive: true });
  return path;
}

/** Commands that are not run here must at least exist. */
function checkNamed(text: string): void {
  const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  for (const line of text.trim().split("\n")) {
    const script = /^npm (?:run )?(\S+)$/.exec(line)?.[1];
    if (script) expect(Object.keys(scripts)).toContain(script);
    else expect(line).toMatch(/^(tidegate serve --config|ssh -L) /);
  }
}

async function follow(reader: Reader, { language, text }: Block): Promise<void> {
  if (language === "sh") await reader.run(text);
  else if (language === "sh background") await reader.background(text);
  else if (language === "sh named") checkNamed(text);
  else if (language === "js") await reader.runScript(text);
  else if (language === "js sync-function") expect(await reader.putSyncFunction(text)).toBe(201);
  else if (language === "jsonc") {
    const path = join(reader.scripts, "settings.jsonc");
    writeFileSync(path, text);
    const config = loadConfig({ file: path, environment: {}, commandLine: {} });
    expect(Object.keys(config.databases)).toEqual(["notes"]);
  } else throw new Error(`a block of an unknown kind: ${language}`);
}

for (const page of pages) {
  describe(page, () => {
    const reader = new Reader();
    let opened: Promise<void> | undefined;
    afterAll(() => reader.close());

    for (const block of blocksOf(page)) {
      const first = block.text.trim().split("\n")[0];
      test(`line ${block.line}: ${first}`, async () => {
        opened ??= reader.open();
        await opened;
        await follow(reader, block);
      }, 90_000);
    }
  });
}

test("the configuration page has every setting with its default, and every variable", async () => {
  const page = readFileSync(join(root, "docs/02-configuration.md"), "utf8");
  const block = blocksOf("docs/02-configuration.md").find(({ language }) => language === "jsonc");
  const directory = mkdtempSync(join(tmpdir(), "tidegate-docs-"));
  const path = join(directory, "settings.jsonc");
  writeFileSync(path, block?.text ?? "");
  const shown = loadConfig({ file: path, environment: {}, commandLine: {} });
  rmSync(directory, { recursive: true });
  const databases = { notes: { syncFunction: "function (doc) { channel(doc.channels); }" } };
  const plain = loadConfig({ environment: {}, commandLine: { databases } });
  expect(shown).toEqual(plain);
  const { pathsOf } = await import("../src/config/problems.ts");
  const { configSchema } = await import("../src/config/schema.ts");
  const { variables } = await import("../src/config/environment.ts");
  for (const name of variables()) expect(page).toContain(`\`${name}\``);
  for (const setting of pathsOf(configSchema)) {
    expect(page).toContain(`"${setting.split(".").at(-1)}"`);
  }
});
