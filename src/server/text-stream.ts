// An answer of unknown length as a stream: made as the client reads it, in pieces of about 64 KiB,
// and ended at once when the client goes.

/** A piece is sent when it has this many characters, or when its source has to wait. */
const PIECE_CHARACTERS = 64 * 1024;

/**
 * Where a source says that what it has given should be sent now: it will wait before it gives
 * more. Yielded between texts.
 */
export const FLUSH = Symbol("flush");

/** Texts, and marks to send what there is. */
export type TextSource = AsyncGenerator<string | typeof FLUSH, void, undefined>;

/** What a stream tells of its fate. */
export interface StreamFate {
  /** Aborted when the client has gone. */
  readonly gone: AbortSignal;
  /** Called when the client has gone: a source that waits must stop waiting. */
  abort(): void;
  /** Called once, at the very end, whichever way it came. */
  ended(): void;
  /** What the source threw: the answer has begun, it can only be cut. */
  failed(error: unknown): void;
}

/** The stream of `source`. Nothing is read ahead; the source is ended when the client goes. */
export function textStream(source: TextSource, fate: StreamFate): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let over = false;
  let cancelled = false;
  const end = () => {
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
  fate.gone.addEventListener("abort", cancel);
  if (fate.gone.aborted) cancel();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { text, done } = await piece(source);
          if (cancelled) return;
          if (text !== "") controller.enqueue(encoder.encode(text));
          if (!done) return;
          end();
          controller.close();
        } catch (error) {
          fate.failed(error);
          end();
          controller.error(error);
        }
      },
      cancel,
    },
    { highWaterMark: 0 },
  );
}

/** The next piece: whole texts, up to the first flush, or until there is enough. */
async function piece(source: TextSource): Promise<{ text: string; done: boolean }> {
  let text = "";
  for (;;) {
    const { value, done } = await source.next();
    if (done) return { text, done: true };
    if (value === FLUSH) {
      if (text !== "") return { text, done: false };
    } else text += value;
    if (text.length >= PIECE_CHARACTERS) return { text, done: false };
  }
}
