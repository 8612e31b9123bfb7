// Streams of text: pulled, not pushed; in pieces; ended once whichever way the end comes.

import { describe, expect, test } from "bun:test";
import { FLUSH, type PieceSource, pieceStream } from "../../src/server/piece-stream.ts";

/** A stream over `source` and what it told of its fate. */
function streamOf(source: PieceSource, gone = new AbortController()) {
  const told: string[] = [];
  const stream = pieceStream(source, {
    gone: gone.signal,
    abort: () => told.push("abort"),
    ended: () => told.push("ended"),
    failed: (error) => told.push(`failed ${(error as Error).message}`),
  });
  return { told, gone, reader: stream.getReader() };
}

/** Lets the event loop turn, so that whatever could run has run. */
const turn = () => new Promise((resolve) => setTimeout(resolve, 5));

const textOf = (chunk: { value?: Uint8Array | undefined }) => new TextDecoder().decode(chunk.value);

describe("a stream of text", () => {
  test("reads nothing ahead", async () => {
    let made = 0;
    async function* source(): PieceSource {
      for (;;) {
        made++;
        yield "x".repeat(65536);
      }
    }
    const { reader } = streamOf(source());
    await turn();
    expect(made).toBe(0);
    await reader.read();
    await reader.read();
    await turn();
    expect(made).toBe(2);
    await reader.cancel();
  });

  test("gathers small texts, and sends what there is when the source will wait", async () => {
    async function* source(): PieceSource {
      yield "a";
      yield "b";
      yield FLUSH;
      yield FLUSH;
      yield "c".repeat(65536);
      yield "d";
    }
    const { reader, told } = streamOf(source());
    expect(textOf(await reader.read())).toBe("ab");
    expect(textOf(await reader.read())).toBe("c".repeat(65536));
    expect(textOf(await reader.read())).toBe("d");
    expect((await reader.read()).done).toBe(true);
    expect(told).toEqual(["ended"]);
  });

  test("tells of a source that throws, and is cut", async () => {
    async function* source(): PieceSource {
      yield "a";
      throw new Error("broken");
    }
    const { reader, told } = streamOf(source());
    await expect(reader.read()).rejects.toThrow("broken");
    expect(told).toEqual(["failed broken", "ended"]);
  });

  test("whose client went before it was read at all is ended", async () => {
    async function* source(): PieceSource {
      yield "never asked for";
    }
    const { told, gone } = streamOf(source());
    gone.abort();
    await turn();
    expect(told).toEqual(["abort", "ended"]);
    const late = streamOf(source(), gone);
    await turn();
    expect(late.told).toEqual(["abort", "ended"]);
  });

  test("whose client goes while the source waits stops the wait, and ends once", async () => {
    const wait = Promise.withResolvers<void>();
    let finished = false;
    async function* source(): PieceSource {
      try {
        yield "first";
        yield FLUSH;
        await wait.promise;
      } finally {
        finished = true;
      }
    }
    const { reader, told } = streamOf(source());
    await reader.read();
    const second = reader.read();
    const cancelled = reader.cancel();
    expect(told).toEqual(["abort"]);
    wait.resolve();
    await Promise.all([second, cancelled]);
    expect(finished).toBe(true);
    expect(told).toEqual(["abort", "ended"]);
  });
});
