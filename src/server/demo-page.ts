// The demo's page: a live view of a database in the browser, with nothing from elsewhere.

import html from "./demo-page.html" with { type: "text" };
import { routes } from "./routes.ts";

// Bun's types take every import of HTML for a bundle; imported as text it is a string.
const page = html as unknown as string;

/** What the page may do: its own style and script, and requests to where it came from. */
const POLICY =
  "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; " +
  "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

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
