// An answer of unknown length as a stream: made as the client reads it, in chunks of about 64 KiB,
// and ended at once when the client goes.

import { isTidegateError, TidegateError } from "../base/errors.ts";
import { type HeldAnswer, type HeldAnswers, LARGE_ANSWER_BYTES } from "./held-answers.ts";

/** A chunk is sent when it has this many characters or bytes, or when its source has to wait. */
const CHUNK_SIZE = 64 * 1024;

/** A large piece is sent in slices of this many characters or bytes. */
const SLICE_SIZE = 256 * 1024;

/**
 * Where a source says that what it has given should be sent now: it will wait before it gives
 * more. Yielded between texts.
 */
export const FLUSH = Symbol("flush");

/** Texts and bytes, and marks to send what there is. */
export type PieceSource = AsyncGenerator<string | Uint8Array | typeof FLUSH, void, undefined>;

/** What a stream tells of its fate. */
export interface StreamFate {
  /** Aborted when the client has gone. */
  readonly gone: AbortSignal;
  /** Where large pieces are counted while the client takes them; not at all without it. */
  readonly held?: Pick<HeldAnswers, "hold">;
  /** Called when the client has gone: a source that waits must stop waiting. */
  abort(): void;
  /** Called once, at the very end, whichever way it came. */
  ended(): void;
  /**
   * What the source threw: the answer has begun, it can only be cut. Not told of answers that are
   * cut since there is no room for them.
   */
  failed(error: unknown): void;
}

/** The stream of `source`. Nothing is read ahead; the source is ended when the client goes. */
export function pieceStream(source: PieceSource, fate: StreamFate): ReadableStream<Uint8Array> {
  let over = false;
  let cancelled = false;
  let large: LargePiece | undefined;
  let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  const end = () => {
    large?.release();
    fate.gone.removeEventListener("abort", cancel);
    if (!over) fate.ended();
    over = true;
  };
  // A source that was never asked does not run its own `finally`: so `ended` is ours to call.
  const cancel = async () => {
    cancelled = true;
    fate.abort();
    await source.return();
    end();
  };
  const cut = () => {
    controller?.error(new TidegateError("unavailable", "the answer was taken too slowly"));
    cancel();
  };
  const next = async (): Promise<{ bytes: Uint8Array; done: boolean }> => {
    if (!large) {
      const { bytes, done, rest } = await chunk(source);
      if (rest === undefined) return { bytes, done };
      large = new LargePiece(rest, fate.held?.hold(rest.length, cut));
      if (bytes.length > 0) return { bytes, done: false };
    }
    const bytes = large.next();
    if (large.isOver) {
      large.release();
      large = undefined;
    }
    return { bytes, done: false };
  };
  fate.gone.addEventListener("abort", cancel);
  if (fate.gone.aborted) cancel();
  return new ReadableStream<Uint8Array>(
    {
      start(given) {
        controller = given;
      },
      async pull(controller) {
        try {
          const { bytes, done } = await next();
          if (cancelled) return;
          if (bytes.length > 0) controller.enqueue(bytes);
          if (!done) return;
          end();
          controller.close();
        } catch (error) {
          if (!isTidegateError(error, "unavailable")) fate.failed(error);
          end();
          controller.error(error);
        }
      },
      cancel,
    },
    { highWaterMark: 0 },
  );
}

/** A piece that is sent in slices. */
class LargePiece {
  readonly #piece: string | Uint8Array;
  readonly #held: HeldAnswer | undefined;
  #at = 0;

  constructor(piece: string | Uint8Array, held: HeldAnswer | undefined) {
    this.#piece = piece;
    this.#held = held;
  }

  get isOver(): boolean {
    return this.#at >= this.#piece.length;
  }

  next(): Uint8Array {
    const from = this.#at;
    // What was given before is taken when more is asked for.
    if (from > 0) this.#held?.taken();
    const piece = this.#piece;
    this.#at += SLICE_SIZE;
    if (typeof piece !== "string") return piece.subarray(from, this.#at);
    // Both halves of a surrogate pair go together.
    const last = piece.charCodeAt(this.#at - 1);
    if (last >= 0xd800 && last <= 0xdbff) this.#at++;
    return encoder.encode(piece.slice(from, this.#at));
  }

  release(): void {
    this.#held?.release();
  }
}

/** A chunk, and behind it perhaps a piece that is too large for one. */
interface Chunk {
  readonly bytes: Uint8Array;
  readonly done: boolean;
  readonly rest?: string | Uint8Array;
}

/** The next chunk: whole pieces, up to the first flush, or until there is enough. */
async function chunk(source: PieceSource): Promise<Chunk> {
  const parts: Uint8Array[] = [];
  let text = "";
  let size = 0;
  for (;;) {
    const { value, done } = await source.next();
    if (done) return { bytes: joined(parts, text), done: true };
    if (value === FLUSH) {
      if (size > 0) return { bytes: joined(parts, text), done: false };
    } else if (value.length > LARGE_ANSWER_BYTES) {
      return { bytes: joined(parts, text), done: false, rest: value };
    } else {
      size += value.length;
      if (typeof value === "string") text += value;
      else {
        parts.push(encoder.encode(text), value);
        text = "";
      }
    }
    if (size >= CHUNK_SIZE) return { bytes: joined(parts, text), done: false };
  }
}

const encoder = new TextEncoder();

function joined(parts: readonly Uint8Array[], text: string): Uint8Array {
  return parts.length === 0
    ? encoder.encode(text)
    : Buffer.concat([...parts, encoder.encode(text)]);
}
