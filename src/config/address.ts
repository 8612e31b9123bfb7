// HOST:PORT, as the settings give it.

import { isIP } from "node:net";

/** Where a listener listens. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** Takes `HOST:PORT` apart; an IPv6 address stands in brackets. Port 0 is any free one. */
export function parseAddress(text: string): Address | { readonly problem: string } {
  const problem = `HOST:PORT, such as 127.0.0.1:4984 or [::1]:4984 (came: ${text})`;
  const parts = text.match(/^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]/]+)):(\d{1,5})$/);
  const host = parts?.[1] ?? parts?.[2];
  const port = Number(parts?.[3]);
  if (host === undefined || port > 65535) return { problem };
  if (parts?.[1] !== undefined && isIP(host) !== 6) return { problem };
  return { host, port };
}

/** Puts an address into a URL or a message. */
export function formatAddress({ host, port }: Address): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Whether only programs on this machine reach `host`. A name other than `localhost` is not. */
export function isLoopback(host: string): boolean {
  const name = host.toLowerCase();
  if (isIP(name) === 4) return name.startsWith("127.");
  return name === "localhost" || name === "::1" || name === "0:0:0:0:0:0:0:1";
}
