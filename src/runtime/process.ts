// The process: which runtime runs it, its signals, and its end.

import process from "node:process";

/** The runtime's name and version, for people: `bun 1.4.5`. */
export function runtimeName(): string {
  const versions: Readonly<Record<string, string | undefined>> = process.versions;
  const name = versions.bun ? "bun" : versions.deno ? "deno" : "node";
  return `${name} ${versions[name] ?? ""}`;
}

/**
 * Calls `stop` at the first SIGTERM or SIGINT; the second ends the process at once, with the exit
 * code that shells give to a process killed by it.
 */
export function onStopSignal(stop: (signal: string) => void): void {
  let asked = false;
  const numbers = { SIGINT: 2, SIGTERM: 15 } as const;
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      if (asked) process.exit(128 + numbers[signal]);
      asked = true;
      stop(signal);
    });
  }
}

/** Calls `listener` with each error that nobody caught: a defect. The process goes on. */
export function onUncaught(listener: (error: unknown) => void): void {
  process.on("uncaughtException", listener);
  process.on("unhandledRejection", listener);
}
