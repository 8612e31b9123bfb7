// The SCRAM client: against the RFC's own example, and against a server half that checks proofs.

import { describe, expect, test } from "bun:test";
import { SCRAM_MECHANISMS, ScramClient } from "../../../src/bucket/couchbase/connection/scram.ts";
import { systemRandom } from "../../../src/runtime/random.ts";
import { ScramServer } from "../../loopback/scram-server.ts";

describe.each(SCRAM_MECHANISMS)("%s", (mechanism) => {
  test("a right password is let in, and the server proves that it knows it", async () => {
    const server = new ScramServer(mechanism, "ann,=", "pässword");
    const client = new ScramClient(mechanism, "ann,=", "pässword", systemRandom);
    const final = await client.final(server.challenge(client.first())!);
    const outcome = server.outcome(final);
    expect(outcome).toBeDefined();
    client.verify(outcome!);
  });

  test("a wrong password is refused", async () => {
    const server = new ScramServer(mechanism, "ann", "right");
    const client = new ScramClient(mechanism, "ann", "wrong", systemRandom);
    expect(server.outcome(await client.final(server.challenge(client.first())!))).toBeUndefined();
  });

  test("a server that does not know the password is refused", async () => {
    const server = new ScramServer(mechanism, "ann", "right");
    const client = new ScramClient(mechanism, "ann", "right", systemRandom);
    await client.final(server.challenge(client.first())!);
    const forged = `v=${Buffer.alloc(32).toString("base64")}`;
    expect(() => client.verify(forged)).toThrow("Couchbase server's login answer");
  });
});

test("the example of RFC 7677 comes out as printed there", async () => {
  const nonce = Buffer.from("rOprNGfwEbeRWgbNEkqO", "base64");
  const random = { ...systemRandom, bytes: () => new Uint8Array(nonce) };
  const client = new ScramClient("SCRAM-SHA256", "user", "pencil", random);
  expect(client.first()).toBe("n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
  const final = await client.final(
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
  );
  expect(final).toBe(
    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0," +
      "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
  );
  client.verify("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
});

test.each([
  ["a nonce that is not built on ours", "r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"],
  ["no salt", "r=NONCEx,s=,i=4096"],
  ["so many rounds that the gateway would stand still", "r=NONCEx,s=W22Z,i=999999999"],
])("a challenge with %s is refused", async (_what, challenge) => {
  const client = new ScramClient("SCRAM-SHA1", "user", "pencil", systemRandom);
  const nonce = client.first().split("r=")[1]!;
  expect(client.final(challenge.replace("NONCE", nonce))).rejects.toThrow("no good");
});
