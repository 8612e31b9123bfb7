// The demo's page: a live view of the demo's database in a browser, with nothing from elsewhere.

import { createHash } from "node:crypto";
import html from "./demo-page.html" with { type: "text" };
import { routes } from "./routes.ts";

// Bun's types take every import of HTML for a bundle; imported as text it is a string.
const page = html as unknown as string;

/** What the page may do: its own style and script, and requests to where it came from. */
const POLICY = [
  "default-src 'none'",
  `style-src ${hashOf("style")}`,
  `script-src ${hashOf("script")}`,
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

/** The hash by which the policy allows the page's one `tag`, and no other. */
function hashOf(tag: "style" | "script"): string {
  const text = page.slice(page.indexOf(`<${tag}>`) + tag.length + 2, page.indexOf(`</${tag}>`));
  return `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
}

/** The public listener, when the demo is on. */
export const demoRoutes = routes({
  "/_demo": {
    GET: () =>
      new Response(page, {
        headers: {
          "content-type": "text/html; charset=utf-8",
          "content-security-policy": POLICY,
          "x-content-type-options": "nosniff",
          "referrer-policy": "no-referrer",
        },
      }),
  },
});
