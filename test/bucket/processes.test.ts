// Processes of their own: killed in the middle of writing, and racing each other.

import { expect, test } from "bun:test";
import { join } from "node:path";
import type { EmbeddedBucket } from "../../src/bucket/embedded/embedded-bucket.ts";
import { newDirectory, open, removeDirectory, text } from "./support.ts";

const WRITER = join(import.meta.dir, "writer-process.ts");

function spawn(...args: string[]) {
  return Bun.spawn([process.execPath, WRITER, ...args], { stdout: "pipe", stderr: "inherit" });
}

/** Runs a writer until it has said `lines` lines, then kills it at once; gives all it has said. */
async function killedAfter(lines: number, ...args: string[]): Promise<string[]> {
  const writer = spawn(...args);
  let said = "";
  const decoder = new TextDecoder();
  for await (const chunk of writer.stdout) {
    said += decoder.decode(chunk, { stream: true });
    if (said.split("\n").length > lines) writer.kill("SIGKILL");
  }
  await writer.exited;
  expect(writer.signalCode).toBe("SIGKILL");
  // What comes after the last line's end was not said.
  return said.split("\n").slice(0, -1);
}

async function checkSaid(bucket: EmbeddedBucket, said: readonly string[]): Promise<void> {
  const highs = await bucket.feed.highSeqs();
  const last = new Map<string, number>();
  for (const line of said) {
    const [kind, key, first, second] = line.split(" ") as [string, string, string, string];
    if (kind !== "document") {
      last.set(`${kind} ${key}`, Number(first));
      continue;
    }
    expect(text((await bucket.documents.get(key))?.body)).toBe(key);
    expect(highs[Number(first)]).toBeGreaterThanOrEqual(Number(second));
  }
  for (const [name, round] of last) {
    const [collection, key] = name.split(" ") as ["metadata" | "index", string];
    const written = text((await bucket[collection].get(key))?.value)?.split(";") ?? [];
    const expected = Array.from({ length: written.length - 1 }, (_, index) => String(index));
    expect(written).toEqual([...expected, ""]);
    expect(written.length - 1).toBeGreaterThan(round);
  }
}

test("a process killed at any moment loses nothing that it acknowledged", async () => {
  const directory = newDirectory();
  const said: string[] = [];
  for (let run = 0; run < 10; run++) {
    const lines = 20 + Math.floor(Math.random() * 600);
    said.push(...(await killedAfter(lines, directory, "load", `run${run}`)));
    const bucket = await open(directory);
    await checkSaid(bucket, said);
    // The counter is of the documents that are there: it was written with them or not at all.
    let counted = 0;
    const keys = new Set<string>();
    for await (const page of bucket.documents.scan({}, { withBody: false })) {
      counted += page.length;
      for (const { key } of page) keys.add(key);
    }
    expect(await bucket.documents.count()).toBe(counted);
    expect(keys.size).toBe(counted);
    const highs = await bucket.feed.highSeqs();
    expect(highs.reduce((sum, high) => sum + high, 0)).toBe(counted);
    await bucket.close();
  }
  expect(said.length).toBeGreaterThan(200);
  removeDirectory(directory);
}, 60_000);

test("processes that change the same documents lose no change and share no seq", async () => {
  const directory = newDirectory();
  const [processes, rounds, keys] = [3, 60, 4];
  const bucket = await open(directory);
  const writers = Array.from({ length: processes }, () =>
    spawn(directory, "count", String(rounds), String(keys)),
  );
  const outputs = await Promise.all(writers.map((writer) => new Response(writer.stdout).text()));
  for (const writer of writers) expect(await writer.exited).toBe(0);
  const lines = outputs.flatMap((output) => output.split("\n").slice(0, -1));
  expect(lines.length).toBe(processes * rounds * keys);
  const changes = lines.map((line) => line.split(" ") as [string, string, string, string]);
  // One mutation for each seq, and CAS in the order of seqs.
  const places = new Set(changes.map(([, vb, seq]) => `${vb} ${seq}`));
  expect(places.size).toBe(changes.length);
  expect(new Set(changes.map(([, , , cas]) => cas)).size).toBe(changes.length);
  for (let index = 0; index < keys; index++) {
    const body = text((await bucket.documents.get(`counter${index}`))?.body);
    expect(body).toBe(String(processes * rounds));
    const own = changes.filter(([key]) => key === `counter${index}`);
    const bySeq = own.toSorted((a, b) => Number(a[2]) - Number(b[2])).map((change) => change[3]);
    const byCas = own.map((change) => change[3]).toSorted((a, b) => Number(BigInt(a) - BigInt(b)));
    expect(bySeq).toEqual(byCas);
  }
  const highs = await bucket.feed.highSeqs();
  expect(highs.reduce((sum, high) => sum + high, 0)).toBe(changes.length);
  expect(text((await bucket.index.get("counter"))?.value)).toBe(String(2 * processes * rounds));
  await bucket.close();
  removeDirectory(directory);
}, 60_000);
