// `tidegate hash-password`: the text that goes into the setting `adminAuth`. The password comes on
// standard input, so that it is in no shell's history and no list of processes.

import process from "node:process";
import { MAX_PASSWORD_BYTES, Passwords } from "../access/login/passwords.ts";
import { TidegateError } from "../base/errors.ts";
import { systemRandom } from "../runtime/random.ts";

/** Reads a password from `input`, its line's end left out. Throws `bad_request`. */
export async function readPassword(input: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of input) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > MAX_PASSWORD_BYTES + 2 || chunk.includes(0x0a)) break;
  }
  const [password = ""] = Buffer.concat(chunks).toString("utf8").split(/\r?\n/, 1);
  if (password !== "" && Buffer.byteLength(password) <= MAX_PASSWORD_BYTES) return password;
  const reason = `expected a password of 1 to ${MAX_PASSWORD_BYTES} bytes on standard input`;
  throw new TidegateError("bad_request", reason);
}

/** Prints the hash of the password on standard input. */
export async function hashPassword(): Promise<void> {
  if (process.stdin.isTTY) process.stderr.write("Password (it is shown): ");
  const password = await readPassword(process.stdin);
  process.stdout.write(`${await new Passwords(systemRandom).hash(password)}\n`);
}
