// Scenario files: stories of commands and what they print, in the manner of etcd/raft.
// A file is blocks of "command…", "----", "expected…", apart by empty lines; `#` begins a comment.
// With TIDEGATE_REWRITE=1 the expectations are written anew from what was printed.

import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";

/** One block: lines of commands, and what they are to print. */
interface Block {
  readonly comment: string;
  readonly commands: readonly string[];
  readonly expected: string;
}

/** Carries out one command and gives what it prints. */
export type RunCommand = (name: string, words: readonly string[]) => string | Promise<string>;

/** Runs the scenario in `file`. Gives it as it should read: equal to its text when it holds. */
export async function runScenario(
  file: string,
  run: RunCommand,
): Promise<{ expected: string; actual: string }> {
  const expected = readFileSync(file, "utf8");
  const parts: string[] = [];
  for (const { comment, commands } of parse(expected)) {
    const printed: string[] = [];
    for (const command of commands) {
      const [name = "", ...words] = command.trim().split(/\s+/);
      const text = await run(name, words);
      if (text !== "") printed.push(text);
    }
    const output = printed.length === 0 ? "ok" : printed.join("\n");
    parts.push(`${comment}${commands.map((line) => `${line}\n`).join("")}----\n${output}\n`);
  }
  const actual = parts.join("\n");
  if (process.env.TIDEGATE_REWRITE === "1" && actual !== expected) writeFileSync(file, actual);
  return { expected: process.env.TIDEGATE_REWRITE === "1" ? actual : expected, actual };
}

function parse(text: string): Block[] {
  const blocks: Block[] = [];
  for (const part of text.trimEnd().split(/\n\n+/)) {
    const lines = part.split("\n");
    const comments = lines.filter((line) => line.startsWith("#"));
    const rest = lines.filter((line) => !line.startsWith("#"));
    const line = rest.indexOf("----");
    const commands = line < 0 ? rest : rest.slice(0, line);
    const comment = comments.map((text) => `${text}\n`).join("");
    if (commands.length === 0) throw new Error(`a scenario block without a command: ${part}`);
    blocks.push({ comment, commands, expected: rest.slice(line + 1).join("\n") });
  }
  return blocks;
}
