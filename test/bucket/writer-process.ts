// A process of its own that writes to a bucket: for tests that kill it, or race several of them.
// Usage: bun writer-process.ts DIRECTORY load RUN | DIRECTORY count ROUNDS KEYS

import { writeSync } from "node:fs";
import { bytes, open, text, write } from "./support.ts";

const [directory, mode, ...rest] = process.argv.slice(2) as [string, string, ...string[]];
const bucket = await open(directory);

/** Says a line so that it is out before anything else happens. */
function say(line: string): void {
  writeSync(1, `${line}\n`);
}

/** Writes documents and values without end, and says each as it is acknowledged. */
async function load(run: string): Promise<never> {
  for (let round = 0; ; round++) {
    const group = Array.from({ length: 1 + (round % 20) }, async (_, index) => {
      const key = `${run}:${round}:${index}`;
      const result = await bucket.documents.write(write(key, { body: bytes(key) }));
      if (result.ok) say(`document ${key} ${result.vb} ${result.seq}`);
    });
    const key = `${run}:log`;
    const value = bytes(`${round};`);
    const journal = async (collection: "metadata" | "index") => {
      const [appended] = await bucket[collection].batch([{ op: "append", key, value }]);
      if (appended?.ok !== true) {
        await bucket[collection].batch([{ op: "insert", key, value }]);
      }
      say(`${collection} ${key} ${round}`);
    };
    await Promise.all([...group, journal("metadata"), journal("index")]);
  }
}

/** Adds one to counters in documents, each under CAS, and says each seq that it was given. */
async function count(rounds: number, keys: number): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    const adding = Array.from({ length: keys }, async (_, index) => {
      const key = `counter${index}`;
      for (;;) {
        const before = await bucket.documents.get(key);
        const value = Number(text(before?.body) ?? 0) + 1;
        const body = bytes(String(value));
        const result = await bucket.documents.write(write(key, { cas: before?.cas ?? 0n, body }));
        if (!result.ok) continue;
        say(`${key} ${result.vb} ${result.seq} ${result.cas}`);
        return;
      }
    });
    const operations = [
      { op: "counter", key: "counter", delta: 1, initial: 1 },
      { op: "counter", key: "counter", delta: 1, initial: 1 },
    ] as const;
    await Promise.all([...adding, bucket.index.batch(operations)]);
  }
}

if (mode === "load") await load(rest[0] as string);
else await count(Number(rest[0]), Number(rest[1]));
await bucket.close();
