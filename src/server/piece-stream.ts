// An answer of unknown length as a stream: made as the client reads it, in chunks of about 64 KiB,
// and ended at once when the client goes.

/** A chunk is sent when it has this many characters or bytes, or when its source has to wait. */
const CHUNK_SIZE = 64 * 1024;

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
  /** Called when the client has gone: a source that waits must stop waiting. */
  abort(): void;
  /** Called once, at the very end, whichever way it came. */
  ended(): void;
  /** What the source threw: the answer has begun, it can only be cut. */
  failed(error: unknown): void;
}

/** The stream of `source`. Nothing is read ahead; the source is ended when the client goes. */
export function pieceStream(source: PieceSource, fate: StreamFate): ReadableStream<Uint8Array> {
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
          const { bytes, done } = await chunk(source);
          if (cancelled) return;
          if (bytes.length > 0) controller.enqueue(bytes);
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

/** The next chunk: whole pieces, up to the first flush, or until there is enough. */
async function chunk(source: PieceSource): Promise<{ bytes: Uint8Array; done: boolean }> {
  const parts: Uint8Array[] = [];
  let text = "";
  let size = 0;
  for (;;) {
    const { value, done } = await source.next();
    if (done) return { bytes: joined(parts, text), done: true };
    if (value === FLUSH) {
      if (size > 0) return { bytes: joined(parts, text), done: false };
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
