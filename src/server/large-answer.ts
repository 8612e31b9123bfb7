// An answer that is in memory whole: sent at once, or, when it is large, as the client takes it.

import type { Call } from "./context.ts";
import { LARGE_ANSWER_BYTES } from "./held-answers.ts";
import { type PieceSource, pieceStream } from "./piece-stream.ts";

/**
 * A response with `body`. Throws `unavailable` when it is large and there is no room for it. Some
 * runtimes send what is large without its length.
 */
export function wholeAnswer(
  call: Call,
  body: string | Uint8Array,
  status: number,
  headers: Readonly<Record<string, string>>,
): Response {
  const init = { status, headers };
  const isSmall = body.length <= LARGE_ANSWER_BYTES || call.req.method === "HEAD";
  if (isSmall) return new Response(body as string | Uint8Array<ArrayBuffer>, init);
  const { server } = call.var;
  let cutStream = () => {};
  // Held at once: what is wrong is said before the answer has begun.
  const held = server.answers.hold(body.length, () => cutStream());
  const hold = (_bytes: number, cut: () => void) => {
    cutStream = cut;
    return held;
  };
  const stream = pieceStream(once(body), {
    gone: call.env.connection.signal,
    held: { hold },
    abort() {},
    ended: held.release,
    failed: (error) => server.log.error({ err: error }, "a large answer failed"),
  });
  return new Response(stream, init);
}

async function* once(body: string | Uint8Array): PieceSource {
  yield body;
}
