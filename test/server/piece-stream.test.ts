// Streams of text: pulled, not pushed; in pieces; ended once whichever way the end comes.

import { describe, expect, test } from "bun:test";
import { systemTime, type Time } from "../../src/runtime/time.ts";
import { HeldAnswers } from "../../src/server/held-answers.ts";
import { FLUSH, type PieceSource, pieceStream } from "../../src/server/piece-stream.ts";

/** A stream over `source` and what it told of its fate. */
function streamOf(source: PieceSource, gone = new AbortController(), held?: HeldAnswers) {
  const told: string[] = [];
  const stream = pieceStream(source, {
    gone: gone.signal,
    ...(held && { held }),
    abort: () => told.push("abort"),
    ended: () => told.push("ended"),
    failed: (error) => told.push(`failed ${(error as Error).message}`),
  });
  return { told, gone, reader: stream.getReader() };
}

/** A clock that stands until it is moved. */
function standing() {
  const clock = { ms: 0 };
  const time: Time = { ...systemTime(), monotonicMs: () => clock.ms };
  return { clock, time };
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

describe("a large piece", () => {
  const MB = 1024 * 1024;
  async function* one(piece: string | Uint8Array): PieceSource {
    yield "before";
    yield piece;
    yield "behind";
  }

  test("is sent in slices that fit together, whatever they cut through", async () => {
    const bytes = Uint8Array.from({ length: 2 * MB }, (_, i) => i % 251);
    for (const piece of ["😀".repeat(MB), `x${"😀".repeat(MB)}`, "ä".repeat(3 * MB), bytes]) {
      const { reader, told } = streamOf(one(piece));
      const parts: Uint8Array[] = [];
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        expect(value.length).toBeLessThan(MB);
        parts.push(value);
      }
      const whole = Buffer.concat(parts);
      const middle = whole.subarray(6, whole.length - 6);
      expect(whole.toString("latin1", 0, 6)).toBe("before");
      expect(whole.toString("latin1", whole.length - 6)).toBe("behind");
      expect(middle.equals(Buffer.from(piece))).toBe(true);
      expect(told).toEqual(["ended"]);
    }
  });

  test("is counted from its first slice to its last, or to the client's going", async () => {
    const held = new HeldAnswers(systemTime(), 10 * MB);
    const { reader } = streamOf(one("x".repeat(2 * MB)), undefined, held);
    expect(held.held).toBe(0);
    await reader.read();
    expect(held.held).toBe(2 * MB);
    for (let i = 0; i < 8; i++) await reader.read();
    expect(held.held).toBe(0);
    await reader.cancel();
    const gone = new AbortController();
    const other = streamOf(one("x".repeat(2 * MB)), gone, held);
    await other.reader.read();
    gone.abort();
    await turn();
    expect(held.held).toBe(0);
  });

  test("that is not taken is cut for another, and one that is taken is not", async () => {
    const { clock, time } = standing();
    const held = new HeldAnswers(time, 5 * MB);
    const moving = streamOf(one("y".repeat(2 * MB)), undefined, held);
    const stalled = streamOf(one("x".repeat(2 * MB)), undefined, held);
    for (const { reader } of [moving, stalled]) await reader.read();
    const third = streamOf(one("z".repeat(2 * MB)), undefined, held);
    await expect(third.reader.read()).rejects.toThrow("heldAnswerBytes");
    expect(third.told).toEqual(["ended"]);
    clock.ms = 4000;
    // Its second slice is given, its third asked for.
    for (let i = 0; i < 2; i++) await moving.reader.read();
    clock.ms = 6000;
    const fourth = streamOf(one("z".repeat(2 * MB)), undefined, held);
    await fourth.reader.read();
    await expect(stalled.reader.read()).rejects.toThrow("too slowly");
    await turn();
    expect(stalled.told).toEqual(["abort", "ended"]);
    await moving.reader.read();
    expect(held.held).toBe(4 * MB);
    for (const { reader } of [moving, fourth]) await reader.cancel();
    expect(held.held).toBe(0);
  });
});
