// Child processes of tests and benchmarks that cannot be left behind: each runs under a small shell
// that kills it when our end of a pipe closes, which also happens when we ourselves are killed.

import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { createInterface } from "node:readline";

/** The last part of what a child printed that is kept, in characters. */
const LOG_LIMIT = 64 * 1024;

/** Prints the child's pid, waits for it, and kills it when standard input ends first. */
const GUARD = `
exec 4<&0
"$@" </dev/null 4<&- & child=$!
echo "guarded $child"
( cat <&4 >/dev/null; kill -9 "$child" 2>/dev/null ) >/dev/null 2>&1 &
exec 4<&-
wait "$child"
`;

/** A child process under guard. */
export interface Guarded {
  /** The process itself, not its guard. */
  readonly pid: number;
  /** Resolves with the exit status (128 + signal when a signal ended it), once it is gone. */
  readonly exited: Promise<number>;
  /** The end of what it printed, on both outputs. */
  log(): string;
  /** Calls `listener` for every line printed on either output from now on. */
  onLine(listener: (line: string) => void): void;
  /** Sends a signal; nothing when it is gone. */
  signal(name: "SIGKILL" | "SIGTERM" | "SIGINT"): void;
}

/**
 * Starts `command` (the first is the program). Resolves when the process exists, which says nothing
 * of whether it works.
 */
export async function startGuarded(
  command: readonly string[],
  options: { cwd?: string; env?: Record<string, string> } = {},
): Promise<Guarded> {
  const child = spawn("/bin/sh", ["-c", GUARD, "guard", ...command], {
    ...(options.cwd ? { cwd: options.cwd } : {}),
    env: { ...process.env, ...options.env },
    stdio: ["pipe", "pipe", "pipe"],
  }) as ChildProcessWithoutNullStreams;
  let log = "";
  let gone = false;
  const listeners = new Set<(line: string) => void>();
  const exited = new Promise<number>((resolve) => {
    child.on("exit", (code) => {
      gone = true;
      child.stdin.destroy();
      resolve(code ?? 255);
    });
  });
  const pid = await new Promise<number>((resolve, reject) => {
    const onLine = (line: string) => {
      const guarded = /^guarded (\d+)$/.exec(line);
      if (guarded) return resolve(Number(guarded[1]));
      log = `${log}${line}\n`.slice(-LOG_LIMIT);
      for (const listener of listeners) listener(line);
    };
    createInterface({ input: child.stdout }).on("line", onLine);
    createInterface({ input: child.stderr }).on("line", onLine);
    child.on("error", reject);
    exited.then((code) => reject(new Error(`${command[0]} ended with ${code}:\n${log}`)));
  });
  return {
    pid,
    exited,
    log: () => log,
    onLine: (listener) => listeners.add(listener),
    signal(name) {
      if (gone) return;
      try {
        process.kill(pid, name);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
      }
    },
  };
}
