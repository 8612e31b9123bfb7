// A small server over src/runtime/http.ts, run by http.test.ts on Bun and on Deno. It prints its
// port, then a line for each thing that a test waits for.

import { listen } from "../../src/runtime/http.ts";
import { onStopSignal } from "../../src/runtime/process.ts";

const say = (line: string) => console.log(line);

/** An endless answer in chunks of 64 KiB, as fast as the client reads. */
function endless(signal: AbortSignal): Response {
  let chunks = 0;
  signal.addEventListener("abort", () => say(`gone after ${chunks}`));
  const body = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        chunks++;
        controller.enqueue(new Uint8Array(65536));
      },
    },
    { highWaterMark: 0 },
  );
  return new Response(body);
}

/** An answer that stays silent until the client goes. */
function silent(signal: AbortSignal): Response {
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(new TextEncoder().encode("hello\n"));
      signal.addEventListener("abort", () => say("silent gone"));
    },
  });
  return new Response(body);
}

const listener = listen({
  host: "127.0.0.1",
  port: 0,
  maxBodyBytes: 1024 * 1024,
  onError: (error) => say(`error ${(error as Error).message}`),
  async fetch(request, connection) {
    const { pathname } = new URL(request.url);
    if (pathname === "/echo") return new Response(await request.text());
    if (pathname.startsWith("/path"))
      return new Response(request.url.slice(request.url.indexOf("/", 8)));
    if (pathname === "/endless") return endless(connection.signal);
    if (pathname === "/silent") return silent(connection.signal);
    if (pathname === "/throw") throw new Error("thrown");
    if (pathname === "/size") {
      return new Response(null, { headers: { "content-length": "12345", "x-size": "12345" } });
    }
    if (pathname === "/slow") {
      say("slow begun");
      await new Promise((resolve) => setTimeout(resolve, 300));
      return new Response("slow but whole");
    }
    if (pathname === "/socket") {
      const upgraded = connection.upgrade(async (socket) => {
        socket.closed.addEventListener("abort", () => say("socket closed"));
        for (;;) {
          const message = await socket.receive();
          if (message === undefined) return;
          if (message === "flood") {
            for (let sent = 0; await socket.send("x".repeat(65536)); sent++) {
              if (sent % 16 === 0) say(`sent ${sent}`);
            }
          } else if (message === "stuck") {
            await new Promise<void>((resolve) => {
              socket.closed.addEventListener("abort", () => resolve());
            });
          } else if (message === "throw") throw new Error("socket thrown");
          else if (message === "bye") socket.close(4001, "as you wish");
          else await socket.send(`${typeof message}:${message.length}`);
        }
      });
      return upgraded ?? new Response("not a handshake", { status: 426 });
    }
    return new Response("no", { status: 404 });
  },
});
say(`port ${listener.port}`);
onStopSignal(async () => {
  await listener.stop(2000);
  say("stopped");
  process.exit(0);
});
