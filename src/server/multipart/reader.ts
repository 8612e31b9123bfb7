// Multipart bodies taken apart, as RFC 2046 draws them:
//
//   [preamble] --boundary CRLF [headers CRLF] CRLF body CRLF --boundary ... CRLF --boundary-- [rest]
//
// Bodies are views of the bytes given: nothing is copied. What the parts mean is not known here.

import { TidegateError } from "../../base/errors.ts";

/** The most parts of one body. */
export const MAX_PARTS = 10_000;

/** The most bytes of one part's headers. */
export const MAX_HEADER_BYTES = 16 * 1024;

/** The longest boundary, RFC 2046's own limit. */
const MAX_BOUNDARY_CHARACTERS = 70;

/** One part of a multipart body. */
export interface Part {
  /** The headers, their names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Uint8Array;
}

/** A `Content-Type` or `Content-Disposition`: the value in lower case, and its parameters. */
export interface HeaderValue {
  readonly value: string;
  readonly parameters: ReadonlyMap<string, string>;
}

/** Takes a header's value apart. Quoted parameters lose their quotes, `name*` its encoding. */
export function parseHeader(text: string): HeaderValue {
  const end = text.indexOf(";");
  const value = (end < 0 ? text : text.slice(0, end)).trim().toLowerCase();
  const parameters = new Map<string, string>();
  if (end < 0) return { value, parameters };
  const pattern = /;\s*([^\s=;"]+)\s*=\s*(?:"((?:\\.|[^"\\])*)"|([^;]*))/g;
  for (const [, name = "", quoted, plain] of text.slice(end).matchAll(pattern)) {
    const content = quoted === undefined ? (plain ?? "").trim() : quoted.replace(/\\(.)/g, "$1");
    const key = name.toLowerCase();
    if (!key.endsWith("*")) parameters.set(key, content);
    else parameters.set(key, extended(content));
  }
  return { value, parameters };
}

/** RFC 5987: `UTF-8''percent-encoded`. */
function extended(text: string): string {
  const encoded = /^utf-8'[^']*'(.*)$/i.exec(text)?.[1];
  try {
    return encoded === undefined ? text : decodeURIComponent(encoded);
  } catch {
    // Not decodable: taken as it is, it will match no name.
    return text;
  }
}

/** The boundary that a multipart `Content-Type` names. Throws `bad_request`. */
export function boundaryOf(contentType: string): string {
  const boundary = parseHeader(contentType).parameters.get("boundary");
  const isFit = boundary !== undefined && /^[\x20-\x7e]*[\x21-\x7e]$/.test(boundary);
  if (isFit && boundary.length <= MAX_BOUNDARY_CHARACTERS) return boundary;
  throw malformed(
    `its Content-Type names no boundary of 1 to ${MAX_BOUNDARY_CHARACTERS} characters`,
  );
}

function malformed(what: string): TidegateError {
  return new TidegateError("bad_request", `the multipart body is malformed: ${what}`);
}

/** The parts of `body`, in order. Throws `bad_request` when it is malformed, `too_large`. */
export function parseMultipart(body: Uint8Array, boundary: string): Part[] {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.length);
  const delimiter = Buffer.from(`--${boundary}`, "latin1");
  const parts: Part[] = [];
  let here = findDelimiter(bytes, delimiter, 0);
  if (!here) throw malformed(`its boundary is not in it`);
  while (!here.isLast) {
    const next = findDelimiter(bytes, delimiter, here.end);
    if (!next) throw malformed("it ends before its last boundary");
    if (parts.length >= MAX_PARTS) {
      throw new TidegateError("too_large", `a multipart body has at most ${MAX_PARTS} parts`);
    }
    parts.push(parsePart(bytes.subarray(here.end, next.start)));
    here = next;
  }
  return parts;
}

/** Where a delimiter line is: `start` with the line end before it, `end` behind its own. */
interface Delimiter {
  readonly start: number;
  readonly end: number;
  readonly isLast: boolean;
}

const CR = 13;
const LF = 10;
const DASH = 45;

/** The next line that is a delimiter; the boundary as the beginning of a longer line is none. */
function findDelimiter(bytes: Buffer, delimiter: Buffer, from: number): Delimiter | undefined {
  let at = bytes.indexOf(delimiter, from);
  for (; at >= 0; at = bytes.indexOf(delimiter, at + 1)) {
    // A part without headers and body: its delimiters share a line end.
    const shares = at === from;
    const hasLine = at >= 2 && bytes[at - 2] === CR && bytes[at - 1] === LF;
    if (!hasLine && !shares) continue;
    const start = hasLine && at - 2 >= from ? at - 2 : at;
    let end = at + delimiter.length;
    const isLast = bytes[end] === DASH && bytes[end + 1] === DASH;
    if (isLast) return { start, end: end + 2, isLast };
    while (bytes[end] === 32 || bytes[end] === 9) end++;
    if (bytes[end] === CR && bytes[end + 1] === LF) return { start, end: end + 2, isLast };
  }
  return undefined;
}

function parsePart(bytes: Buffer): Part {
  if (bytes[0] === CR && bytes[1] === LF) return { headers: new Map(), body: bytes.subarray(2) };
  const end = bytes.indexOf("\r\n\r\n");
  if (end < 0) throw malformed("a part has no empty line after its headers");
  if (end > MAX_HEADER_BYTES) {
    throw new TidegateError("too_large", `a part's headers have at most ${MAX_HEADER_BYTES} bytes`);
  }
  const headers = new Map<string, string>();
  const text = bytes.toString("utf8", 0, end).replace(/\r\n[ \t]+/g, " ");
  for (const line of text.split("\r\n")) {
    const colon = line.indexOf(":");
    if (colon <= 0) throw malformed("a part has a line among its headers that is none");
    headers.set(line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim());
  }
  return { headers, body: bytes.subarray(end + 4) };
}
