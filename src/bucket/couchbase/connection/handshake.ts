// From an open socket to a bucket: HELLO, login, SELECT_BUCKET. Each refusal says what to do.

import { TidegateError } from "../../../base/errors.ts";
import type { Random } from "../../../runtime/random.ts";
import type { Frame } from "../wire/frame.ts";
import { nameOf, Opcode, Status } from "../wire/opcodes.ts";
import type { KvConnection } from "./kv-connection.ts";
import { SCRAM_MECHANISMS, ScramClient, type ScramMechanism } from "./scram.ts";

/** Who logs in, and to what. */
export interface Login {
  readonly username: string;
  readonly password: string;
  readonly bucket: string;
}

/** Options of {@link handshake}. */
export interface HandshakeOptions {
  readonly login: Login;
  /** Whether the connection is encrypted: PLAIN is used over TLS only. */
  readonly tls: boolean;
  /** HELLO features wanted; those that the server grants are given back. */
  readonly features: readonly number[];
  /** Names the connection in the server's logs. */
  readonly agent: string;
  readonly random: Random;
}

/**
 * Brings a fresh connection to the bucket, and gives back the features that the server granted.
 *
 * Throws `unauthorized` when the login is refused, `not_found` when the bucket does not exist or may
 * not be seen, `unavailable` for anything that may pass.
 */
export async function handshake(
  connection: KvConnection,
  options: HandshakeOptions,
): Promise<ReadonlySet<number>> {
  const granted = await hello(connection, options);
  const mechanisms = await offeredMechanisms(connection);
  const scram = SCRAM_MECHANISMS.find((mechanism) => mechanisms.has(mechanism));
  if (options.tls && mechanisms.has("PLAIN")) await plainLogin(connection, options.login);
  else if (scram !== undefined) await scramLogin(connection, scram, options);
  else {
    throw new TidegateError(
      "unauthorized",
      `The Couchbase server offers no login that is safe without TLS (it offers: ${[
        ...mechanisms,
      ].join(", ")}). Use couchbases://, or enable SCRAM on the server.`,
    );
  }
  await selectBucket(connection, options.login.bucket);
  return granted;
}

async function hello(connection: KvConnection, options: HandshakeOptions): Promise<Set<number>> {
  const wanted = Buffer.allocUnsafe(options.features.length * 2);
  options.features.forEach((feature, at) => {
    wanted.writeUInt16BE(feature, at * 2);
  });
  const key = Buffer.from(JSON.stringify({ a: options.agent.slice(0, 200) }));
  const answer = await connection.request({ opcode: Opcode.hello, key, value: wanted });
  requireSuccess(answer, "HELLO");
  const granted = new Set<number>();
  const list = answer.value;
  for (let at = 0; at + 1 < list.length; at += 2) granted.add(list.readUInt16BE(at));
  return granted;
}

async function offeredMechanisms(connection: KvConnection): Promise<Set<string>> {
  const answer = await connection.request({ opcode: Opcode.saslListMechanisms });
  requireSuccess(answer, "the list of login mechanisms");
  return new Set(answer.value.toString("utf8").split(" ").filter(Boolean));
}

async function plainLogin(connection: KvConnection, login: Login): Promise<void> {
  const answer = await connection.request({
    opcode: Opcode.saslAuth,
    key: Buffer.from("PLAIN"),
    value: Buffer.from(`\0${login.username}\0${login.password}`),
  });
  requireLogin(answer, login);
}

async function scramLogin(
  connection: KvConnection,
  mechanism: ScramMechanism,
  { login, random }: HandshakeOptions,
): Promise<void> {
  const client = new ScramClient(mechanism, login.username, login.password, random);
  const key = Buffer.from(mechanism);
  const challenge = await connection.request({
    opcode: Opcode.saslAuth,
    key,
    value: Buffer.from(client.first()),
  });
  if (challenge.status !== Status.authContinue) {
    requireLogin(challenge, login);
    throw new TidegateError("unauthorized", "The Couchbase server skipped its half of the login.");
  }
  const outcome = await connection.request({
    opcode: Opcode.saslStep,
    key,
    value: Buffer.from(await client.final(challenge.value.toString("utf8"))),
  });
  requireLogin(outcome, login);
  client.verify(outcome.value.toString("utf8"));
}

function requireLogin(answer: Frame, login: Login): void {
  if (answer.status === Status.success) return;
  if (answer.status === Status.authError || answer.status === Status.authStale) {
    throw new TidegateError(
      "unauthorized",
      `The Couchbase server refused the password of user "${login.username}".`,
    );
  }
  requireSuccess(answer, "the login");
}

async function selectBucket(connection: KvConnection, bucket: string): Promise<void> {
  const answer = await connection.request({
    opcode: Opcode.selectBucket,
    key: Buffer.from(bucket),
  });
  if (answer.status === Status.success) return;
  const hidden: readonly number[] = [Status.keyNotFound, Status.noBucket, Status.accessError];
  if (hidden.includes(answer.status)) {
    throw new TidegateError(
      "not_found",
      `There is no bucket "${bucket}" on the Couchbase server, or this user may not see it.`,
    );
  }
  requireSuccess(answer, `SELECT_BUCKET of "${bucket}"`);
}

/** Throws `unavailable` with the server's status when `answer` is not a success. */
export function requireSuccess(answer: Frame, what: string): void {
  if (answer.status === Status.success) return;
  throw new TidegateError(
    "unavailable",
    `The Couchbase server answered ${what} with ${nameOf(Status, answer.status)}.`,
  );
}
