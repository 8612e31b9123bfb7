// Multipart bodies put together, as pieces that are sent one after the other.

/** A piece of a body: text, or bytes as they are. */
export type Piece = string | Uint8Array;

/** What one part is: its headers, in order, and its body in pieces. */
export interface PartToWrite {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: readonly Piece[];
}

/** The pieces of one part, from its delimiter on. */
export function partPieces(boundary: string, { headers, body }: PartToWrite): Piece[] {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return [`\r\n--${boundary}\r\n${lines.join("")}\r\n`, ...body];
}

/** The last delimiter. */
export function lastPiece(boundary: string): string {
  return `\r\n--${boundary}--\r\n`;
}

/** All pieces of a body of `parts`. */
export function multipartPieces(boundary: string, parts: readonly PartToWrite[]): Piece[] {
  return [...parts.flatMap((part) => partPieces(boundary, part)), lastPiece(boundary)];
}

/** A boundary that is in no body, made of random bytes. */
export function makeBoundary(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

/**
 * `attachment; filename="..."`, in a form that fits one line of a header: a name with quotes, line
 * ends or letters beyond ASCII is given a second time, whole and percent-encoded (RFC 6266).
 */
export function disposition(kind: "inline" | "attachment", name: string): string {
  const plain = name.replace(/[^\x20-\x7e]|["\\%]/g, "_");
  if (plain === name) return `${kind}; filename="${name}"`;
  const whole = encodeURIComponent(name.toWellFormed()).replace(
    /['()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return `${kind}; filename="${plain}"; filename*=UTF-8''${whole}`;
}
