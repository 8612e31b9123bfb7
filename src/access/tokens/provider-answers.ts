// JSON from those who issue tokens, over HTTP: answers of bounded size, in bounded time, and no
// redirects, so that nobody sends the gateway elsewhere.

import { TidegateError } from "../../base/errors.ts";
import type { Json, JsonObject } from "../../base/json.ts";
import type { Time } from "../../runtime/time.ts";
import { ANSWER_LIMIT_MS, MAX_ANSWER_BYTES } from "./limits.ts";

/** What is asked; a form makes it a POST. */
export interface Question {
  readonly url: string;
  readonly form?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A JSON object, whatever the status. */
export interface ProviderAnswer {
  readonly status: number;
  readonly body: JsonObject;
}

/** Asks. Throws `unavailable` when there is no such answer in time; its cause is for the log. */
export async function ask(time: Time, { url, form, headers }: Question): Promise<ProviderAnswer> {
  const limit = new AbortController();
  const cancel = time.after(ANSWER_LIMIT_MS, () => limit.abort(new Error("it took too long")));
  try {
    const answer = await fetch(url, {
      method: form ? "POST" : "GET",
      redirect: "manual",
      signal: limit.signal,
      headers: { accept: "application/json", ...headers },
      ...(form && { body: new URLSearchParams(form) }),
    });
    return { status: answer.status, body: parsed(await bytesOf(answer)) };
  } catch (error) {
    const reason = `${new URL(url).host} gave no answer that can be used; try again later`;
    throw new TidegateError("unavailable", reason, { cause: error });
  } finally {
    cancel();
  }
}

async function bytesOf({ body }: Response): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let length = 0;
  // Leaving the loop by throwing cancels the rest.
  for await (const part of body ?? []) {
    length += part.length;
    if (length > MAX_ANSWER_BYTES) throw new Error(`more than ${MAX_ANSWER_BYTES} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts, length);
}

function parsed(bytes: Uint8Array): JsonObject {
  const value = JSON.parse(new TextDecoder().decode(bytes)) as Json;
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  throw new Error("no JSON object");
}

/** As {@link ask}, for what must be answered with 200. */
export async function askForObject(time: Time, question: Question): Promise<JsonObject> {
  const { status, body } = await ask(time, question);
  if (status === 200) return body;
  const cause = new Error(`status ${status}`);
  const reason = `${new URL(question.url).host} answered with ${status}; try again later`;
  throw new TidegateError("unavailable", reason, { cause });
}
