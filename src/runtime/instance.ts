// Who this process is among the processes of this machine, and whether another of them still runs.

import { hostname } from "node:os";
import process from "node:process";

/** This machine's name and this process's id. */
export function thisProcess(): { readonly host: string; readonly pid: number } {
  return { host: hostname(), pid: process.pid };
}

/** Whether no process of this machine has the id `pid`. In doubt it is not gone. */
export function processIsGone(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "ESRCH";
  }
}
