// Writing and reading: what went in comes out, in every shape, from every interval.

import { expect, test } from "bun:test";
import { indexOf, Model, readAll, seeded, TEST_LIMIT_MS, VBUUID, withBucket } from "./support.ts";

const VBUCKETS = 32;
const CHANNELS = ["a", "b", "rare", "ünïcode channel", "c".repeat(300)];

for (const shape of ["computed", "vbucket", "partition"] as const) {
  test(
    `random intervals of every channel are as the model has them, shape ${shape}`,
    async () => {
      await withBucket(VBUCKETS, async (bucket) => {
        const index = await indexOf(bucket, { shape, partitions: 4 });
        const random = seeded(7);
        const model = new Model(VBUCKETS, random, CHANNELS, 200);
        for (let round = 0; round < 20; round++) {
          await Promise.all(Array.from({ length: 100 }, () => index.write(model.change())));
          for (const channel of ["*", ...CHANNELS, "none"]) {
            const from = model.clock();
            const to = model.clock(from);
            const start =
              random() < 0.3 ? { vb: Math.floor(random() * VBUCKETS), seq: 10 } : undefined;
            const read = await readAll(index, channel, from, to, start);
            expect(read).toEqual(model.read(channel, from, to, start));
          }
        }
        const names = model.mutations.map(({ vb, seq }) => ({ vb, seq, vbuuid: VBUUID }));
        const recorded = await index.recorded(names);
        expect(recorded.every((hashes) => hashes !== undefined)).toBe(true);
        const other = await indexOf(bucket, { shape });
        expect(await other.recorded(names)).toEqual(recorded);
        const missing = { vb: 0, seq: model.high[0]! + 1, vbuuid: VBUUID };
        expect(await other.recorded([missing])).toEqual([undefined]);
        await index.close();
      });
    },
    TEST_LIMIT_MS,
  );
}
