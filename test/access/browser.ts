// A browser as far as logins need one: cookies by host and path, and redirects that are followed one
// at a time, so that a test can look at each.

/** One answer. */
export interface Page {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/** Where an answer sends the browser. */
export function locationOf(page: Page): string {
  const location = page.headers.get("location");
  if (location === null) throw new Error(`no redirect: ${page.status} ${page.text}`);
  return location;
}

/** Keeps cookies. */
export class Browser {
  /** Cookies: name -> value, with the attributes that it was set with. */
  readonly cookies = new Map<string, { value: string; attributes: string }>();
  readonly #headers: Readonly<Record<string, string>>;

  /** @param headers what it sends with each request */
  constructor(headers: Readonly<Record<string, string>> = {}) {
    this.#headers = headers;
  }

  /** A browser with the same cookies. */
  copy(): Browser {
    const other = new Browser(this.#headers);
    for (const [name, cookie] of this.cookies) other.cookies.set(name, cookie);
    return other;
  }

  /** Opens an address; redirects are not followed. */
  async open(url: string, init: RequestInit = {}): Promise<Page> {
    const cookie = [...this.cookies].map(([name, { value }]) => `${name}=${value}`).join("; ");
    const headers = { ...this.#headers, ...(cookie && { cookie }), ...init.headers };
    const answer = await fetch(url, { redirect: "manual", ...init, headers });
    for (const line of answer.headers.getSetCookie()) this.#keep(line);
    return { status: answer.status, headers: answer.headers, text: await answer.text() };
  }

  #keep(line: string): void {
    const [pair = "", ...attributes] = line.split("; ");
    const [name = "", value = ""] = pair.split("=");
    if (attributes.includes("Max-Age=0")) this.cookies.delete(name);
    else this.cookies.set(name, { value, attributes: attributes.join("; ") });
  }
}
