// The listener of src/runtime/http.ts on real sockets, the same checks on Bun and on Deno.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { listen } from "../../src/runtime/http.ts";

const root = new URL("../..", import.meta.url).pathname;
const commands = {
  Bun: [process.execPath],
  Deno: [`${root}node_modules/deno/deno`, "run", "-A"],
};

/** A listener process and its lines. */
class Child {
  readonly lines: string[] = [];
  readonly process: Bun.Subprocess<"ignore", "pipe", "inherit">;

  constructor(command: readonly string[]) {
    this.process = Bun.spawn([...command, `${root}test/runtime/listener-process.ts`], {
      cwd: root,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "inherit",
    });
    this.#read();
  }

  async #read(): Promise<void> {
    let rest = "";
    for await (const chunk of this.process.stdout.pipeThrough(new TextDecoderStream())) {
      const parts = (rest + chunk).split("\n");
      rest = parts.pop() ?? "";
      this.lines.push(...parts);
    }
  }

  /** The first line that starts with `start`, waited for. */
  async line(start: string): Promise<string> {
    const until = Date.now() + 20_000;
    for (;;) {
      const found = this.lines.find((line) => line.startsWith(start));
      if (found !== undefined) return found;
      if (Date.now() > until) throw new Error(`no line "${start}" in ${this.lines.join(" | ")}`);
      await Bun.sleep(5);
    }
  }

  async address(): Promise<string> {
    return `127.0.0.1:${(await this.line("port ")).slice(5)}`;
  }
}

for (const [runtime, command] of Object.entries(commands)) {
  describe(`a listener on ${runtime}`, () => {
    let child: Child;
    let http: string;
    let ws: string;

    beforeAll(async () => {
      child = new Child(command);
      const address = await child.address();
      http = `http://${address}`;
      ws = `ws://${address}/socket`;
    });
    afterAll(() => child.process.kill("SIGKILL"));

    test("hands over bodies, and paths as they were sent", async () => {
      const echo = await fetch(`${http}/echo`, { method: "POST", body: "a body" });
      expect(await echo.text()).toBe("a body");
      const path = "/path/a%2Fb%25/%C3%A4%zz?x=%zz&y=+";
      expect(await raw(http, `GET ${path} HTTP/1.1`)).toEndWith(`\r\n\r\n${path}`);
    });

    test("keeps the content length of an answer to HEAD", async () => {
      const answer = await raw(http, "HEAD /size HTTP/1.1");
      expect(answer.toLowerCase()).toContain("content-length: 12345");
    });

    test("answers 500 and tells of it when a handler throws", async () => {
      expect((await fetch(`${http}/throw`)).status).toBe(500);
      expect(await child.line("error thrown")).toBe("error thrown");
    });

    test("reads no further ahead than a client reads, and hears that it went", async () => {
      const abort = new AbortController();
      const answer = await fetch(`${http}/endless`, { signal: abort.signal });
      const reader = (answer.body as ReadableStream<Uint8Array>).getReader();
      await reader.read();
      abort.abort();
      const chunks = Number((await child.line("gone after ")).slice(11));
      expect(chunks).toBeLessThan(500);
    });

    test("hears that the client of a silent answer went", async () => {
      const abort = new AbortController();
      const answer = await fetch(`${http}/silent`, { signal: abort.signal });
      await (answer.body as ReadableStream<Uint8Array>).getReader().read();
      abort.abort();
      await child.line("silent gone");
    });

    test("speaks WebSocket, both ways", async () => {
      const socket = new WebSocket(ws);
      const got: string[] = [];
      const closed = new Promise<CloseEvent>((resolve) =>
        socket.addEventListener("close", resolve),
      );
      socket.onmessage = (event) => {
        got.push(event.data);
        if (got.length === 2) socket.send("bye");
      };
      socket.onopen = () => {
        socket.send("four");
        socket.send(new Uint8Array(3));
      };
      expect((await closed).code).toBe(4001);
      expect(got).toEqual(["string:4", "object:3"]);
    });

    test("closes a socket whose handler throws with 1011", async () => {
      expect(await closeCode(ws, ["throw"])).toBe(1011);
      await child.line("error socket thrown");
    });

    test("closes a client that sends more than may wait with 1008 or 1006", async () => {
      const messages = ["stuck", ...Array.from({ length: 40 }, () => "more")];
      expect([1006, 1008]).toContain(await closeCode(ws, messages));
    });

    test("closes a client whose message is too large with 1009 or 1006", async () => {
      expect([1006, 1009]).toContain(await closeCode(ws, ["x".repeat(2 * 1024 * 1024)]));
    });

    test("waits for a socket's slow client", async () => {
      const slow = await handshake(ws);
      slow.write(masked("flood"));
      slow.pause();
      await child.line("sent 0");
      const settled = await steady(
        () => child.lines.filter((line) => line.startsWith("sent")).length,
      );
      // 16 messages of 64 KiB a line: what the sockets of the machine hold, and no more.
      expect(settled).toBeLessThan(40);
      slow.resume();
      await Bun.sleep(1);
      await until(
        () => child.lines.filter((line) => line.startsWith("sent")).length > settled + 10,
      );
      slow.destroy();
    });

    test("refuses what is no handshake", async () => {
      expect((await fetch(`${http}/socket`)).status).toBe(426);
    });

    test("stops gracefully: an answer under way is finished, idle connections don't hold it", async () => {
      const idle = connect(Number(new URL(http).port), "127.0.0.1");
      await new Promise((resolve) => idle.once("connect", resolve));
      const slow = fetch(`${http}/slow`);
      await child.line("slow begun");
      child.process.kill("SIGTERM");
      expect(await (await slow).text()).toBe("slow but whole");
      expect(await child.process.exited).toBe(0);
      expect(child.lines).toContain("stopped");
      idle.destroy();
    });
  });
}

test("a port in use is said plainly", () => {
  const options = {
    host: "127.0.0.1",
    port: 0,
    maxBodyBytes: 1024,
    fetch: () => new Response(),
    onError() {},
  };
  const first = listen(options);
  expect(() => listen({ ...options, port: first.port })).toThrow(
    `127.0.0.1:${first.port} is in use`,
  );
  expect(() => listen({ ...options, host: "192.0.2.1" })).toThrow("192.0.2.1:0");
  return first.stop(1000);
});

async function until(condition: () => boolean): Promise<void> {
  const limit = Date.now() + 20_000;
  while (!condition()) {
    if (Date.now() > limit) throw new Error("waited in vain");
    await Bun.sleep(5);
  }
}

/** The value of `read` once it has not changed for 300 ms. */
async function steady(read: () => number): Promise<number> {
  let last = read();
  for (let same = 0; same < 6; ) {
    await Bun.sleep(50);
    const now = read();
    same = now === last ? same + 1 : 0;
    last = now;
  }
  return last;
}

/** Sends one request line by hand and gives back the answer's text. */
function raw(base: string, line: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(base).port), "127.0.0.1");
    let text = "";
    socket.on("data", (data) => {
      text += data;
    });
    socket.on("close", () => resolve(text));
    socket.on("error", reject);
    socket.write(`${line}\r\nHost: x\r\nConnection: close\r\n\r\n`);
  });
}

/** Opens a WebSocket, sends `messages`, and gives back the code that it is closed with. */
function closeCode(url: string, messages: readonly string[]): Promise<number> {
  return new Promise((resolve) => {
    const socket = new WebSocket(url);
    socket.onopen = () => {
      for (const message of messages) socket.send(message);
    };
    socket.onclose = (event) => resolve(event.code);
  });
}

/** A WebSocket by hand: one whose reading can be paused. */
function handshake(url: string): Promise<ReturnType<typeof connect>> {
  const { port, pathname } = new URL(url);
  return new Promise((resolve) => {
    const socket = connect(Number(port), "127.0.0.1");
    socket.once("data", () => resolve(socket));
    socket.write(
      `GET ${pathname} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    );
  });
}

/** A client's text frame, masked with zeros. */
function masked(text: string): Buffer {
  return Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), Buffer.from(text)]);
}
