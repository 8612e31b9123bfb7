// What the listeners on Bun and on Deno share: errors of addresses, and waiting with a limit.

import { TidegateError } from "../base/errors.ts";

/** What to say when `host:port` cannot be listened on. */
export function addressError(host: string, port: number, error: unknown): TidegateError {
  const { code, name } = error as { code?: string; name?: string };
  const words = code === "EADDRINUSE" || name === "AddrInUse" ? "is in use" : refusal(code, name);
  const message = `${host}:${port} ${words}`;
  return new TidegateError("bad_config", message, { cause: error });
}

function refusal(code: string | undefined, name: string | undefined): string {
  if (code === "EADDRNOTAVAIL" || name === "AddrNotAvailable") {
    return "is not an address of this machine";
  }
  if (code === "EACCES" || name === "PermissionDenied") {
    return "may not be listened on by this user; take a port of 1024 or above";
  }
  return `cannot be listened on (${code ?? name ?? "unknown error"})`;
}

/** Whether `done` resolves within `ms`. The timer does not keep the process alive by itself. */
export async function within(ms: number, done: Promise<unknown>): Promise<boolean> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), ms);
  });
  try {
    return await Promise.race([done.then(() => true as const), late]);
  } finally {
    clearTimeout(timer);
  }
}
