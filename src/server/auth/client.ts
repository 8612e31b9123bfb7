// Where a request comes from: the client's address and whether it came by TLS, with what trusted
// proxies say of it.

import type { Call } from "../context.ts";

/** Parts of `X-Forwarded-For` that are looked at, from its end. */
const MAX_HOPS = 32;

/**
 * The client's address: of the connection, or, when a trusted proxy made that, the last address of
 * `X-Forwarded-For` that is no trusted proxy's. What others write there is not believed.
 */
export function clientAddress(call: Call): string {
  const { trustedProxies } = call.var.server.config;
  const direct = plain(call.env.connection.remoteAddress ?? "unknown");
  if (!trustedProxies.includes(direct)) return direct;
  const hops = (call.req.header("x-forwarded-for") ?? "").split(",").slice(-MAX_HOPS).reverse();
  let address = direct;
  for (const hop of hops) {
    const text = plain(hop.trim());
    if (text === "") break;
    address = text;
    if (!trustedProxies.includes(text)) break;
  }
  return address.slice(0, 64);
}

/** Whether the client speaks TLS: to a trusted proxy, since the listeners do not. */
export function cameByTls(call: Call): boolean {
  const { trustedProxies } = call.var.server.config;
  const direct = plain(call.env.connection.remoteAddress ?? "unknown");
  if (!trustedProxies.includes(direct)) return false;
  return call.req.header("x-forwarded-proto")?.trim().toLowerCase() === "https";
}

/** IPv4 addresses are the same whether or not they came over IPv6. */
function plain(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, "");
}
