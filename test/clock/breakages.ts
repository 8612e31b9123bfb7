// The breakages of clocks, sequences and the lookup map, for `npm run test:breakages`.

import type { Breakage } from "../breakages/breakage.ts";

const monotone: Breakage[] = [
  {
    invariant: "3 Monotone",
    what: "ticks begin at the machine's clock after a kill, not above the stored ceiling",
    edits: [
      {
        file: "src/clock/tick-source.ts",
        find: "      if (stored > this.#ceiling && stored > this.#last) this.#last = stored;\n",
        replace: "",
      },
    ],
    test: "test/clock/tick-source.test.ts",
    fails: "gives ticks above all before after a kill",
  },
  {
    invariant: "3 Monotone",
    what: "a tick that is above the ceiling is issued at once, and the ceiling is stored after",
    edits: [
      {
        file: "src/clock/tick-source.ts",
        find: "      if (tick <= this.#ceiling) {",
        replace: "      if (tick <= this.#ceiling + 600_000) {",
      },
    ],
    test: "test/clock/tick-source.test.ts",
    fails: "waits after a long idle time",
  },
  {
    invariant: "3 Monotone",
    what: "the ceiling is moved only when it is reached: ticks wait in a busy hour",
    edits: [
      {
        file: "src/clock/tick-source.ts",
        find: "        if (this.#ceiling - tick < CEILING_LOW_MS) this.#raiseAhead();\n",
        replace: "",
      },
    ],
    test: "test/clock/tick-source.test.ts",
    fails: "none waits for it",
  },
];

const resumable: Breakage[] = [
  {
    invariant: "4 Resumable",
    what: "a tick that is gone resolves to the nearest newer one",
    edits: [
      {
        file: "src/clock/segment.ts",
        find: "    return low - 1;\n  }\n\n  /**\n   * The clock of record",
        replace: "    return Math.min(low, this.size - 1);\n  }\n\n  /**\n   * The clock of record",
      },
    ],
    test: "test/clock/position.test.ts",
    fails: "at a tick is its clock, or that of the nearest older one",
  },
  {
    invariant: "4 Resumable",
    what: "a damaged clock is not looked at twice: what is read is believed",
    edits: [
      {
        file: "src/clock/delta.ts",
        find: "  if (!verify) return;\n",
        replace: "  if (verify !== undefined) return;\n",
      },
    ],
    test: "test/clock/lookup-map.test.ts",
    fails: "damaged anywhere rounds down",
  },
  {
    invariant: "4 Resumable",
    what: "a damaged clock is an error, not an older clock",
    edits: [
      {
        file: "src/clock/lookup-map.ts",
        find: "    for (let index = segment.indexOf(tick); index >= 0; index--) {\n      try {",
        replace:
          "    for (let index = segment.indexOf(tick); index >= 0; index--) {\n" +
          "      if (index >= 0) return { tick: segment.tickAt(index), clock: segment.clockAt(index) };\n" +
          "      try {",
      },
    ],
    test: "test/clock/lookup-map.test.ts",
    fails: "damaged anywhere rounds down",
  },
  {
    invariant: "4 Resumable",
    what: "the check of a delta covers its bytes and not the clock that it leads to",
    edits: [
      {
        file: "src/clock/delta.ts",
        find: "  return crc32(payload, crc32(memoryOf(clock), seed));",
        replace: "  return crc32(payload, crc32(memoryOf(clock.subarray(0, 0)), seed));",
      },
    ],
    test: "test/clock/forms.test.ts",
    fails: "is refused on any other base than its own",
  },
  {
    invariant: "4 Resumable",
    what: "segments are removed before the thinned one is written",
    edits: [
      {
        file: "src/clock/thinning.ts",
        find: "    // First the new, then without the old: in between, a tick is found in either.\n",
        replace: "    await this.#store.remove(done);\n",
      },
    ],
    test: "test/clock/lookup-map.test.ts",
    fails: "killed between writing and removing",
  },
  {
    invariant: "4 Resumable",
    what: "of each period the first tick is kept, not the one that stood the longest",
    edits: [
      {
        file: "src/clock/thinning.ts",
        find: "    } else if (next - tick <= this.#stoodMs) {",
        replace: "    } else if (next > tick) {",
      },
    ],
    test: "test/clock/lookup-map.test.ts",
    fails: "keeps the tick that stood the longest",
  },
  {
    invariant: "4 Resumable",
    what: "ticks that another node has thinned are not looked for anew",
    edits: [
      {
        file: "src/clock/lookup-map.ts",
        find: '    this.#log.info({ key: ref.key }, "a tick segment is gone',
        replace:
          '    if (ref.level === 0) return;\n    this.#log.info({ key: ref.key }, "a tick segment is gone',
      },
    ],
    test: "test/clock/lookup-map.test.ts",
    fails: "another node's ticks are seen",
  },
  {
    invariant: "4 Resumable",
    what: "the tables of the entropy coder are not the ones that stored clocks were written with",
    edits: [
      {
        file: "src/clock/codec/model.ts",
        find: "const RAREST = 1 / 32_768;",
        replace: "const RAREST = 1 / 16_384;",
      },
    ],
    test: "test/clock/golden.test.ts",
    fails: "tables",
  },
  {
    invariant: "4 Resumable",
    what: "two spellings of one sequence: leading zeros are taken",
    edits: [
      {
        file: "src/clock/sequence.ts",
        find: 'digits.length > 1 && digits[0] === "0"',
        replace: 'digits.length > 99 && digits[0] === "0"',
      },
    ],
    test: "test/clock/sequence.test.ts",
    fails: "whatever is accepted is spelled in its one way",
  },
];

const branchSafe: Breakage[] = [
  {
    invariant: "8 Branch-safe",
    what: "the tick that was the newest at a rollback is not clamped",
    edits: [
      {
        file: "src/clock/branches.ts",
        find: "    if (tick <= seenAt && clock[vb]! > seq) clock[vb] = seq;",
        replace: "    if (tick < seenAt && clock[vb]! > seq) clock[vb] = seq;",
      },
    ],
    test: "test/clock/position.test.ts",
    fails: "from before a rollback never skips",
  },
  {
    invariant: "8 Branch-safe",
    what: "clocks that were clamped before a rollback stay in memory after it",
    edits: [
      {
        file: "src/clock/lookup-map.ts",
        find: "      this.#cache.clear();\n",
        replace: "",
      },
    ],
    test: "test/clock/lookup-map.test.ts",
    fails: "cuts back what later rollbacks took",
  },
  {
    invariant: "8 Branch-safe",
    what: "a whole clock from a client is not clamped to the branches",
    edits: [
      {
        file: "src/clock/position.ts",
        find: "      clampToBranches(clock, TICK_ZERO, branches);\n",
        replace: "      clampToBranches(clock, Number.MAX_SAFE_INTEGER as never, branches);\n",
      },
    ],
    test: "test/clock/position.test.ts",
    fails: "from before a rollback never skips",
  },
];

const forms: Breakage[] = [
  {
    invariant: "binary forms",
    what: "the entropy coder does not say where its bytes must end",
    edits: [
      {
        file: "src/clock/codec/parametric.ts",
        find: "  endRuns();\n",
        replace: "",
      },
      {
        file: "src/clock/codec/rans-decoder.ts",
        find: 'if (cursor[STATE]! < STATE_MIN) throw new MalformedBytes("the coder\'s state is out of range");',
        replace: "",
      },
    ],
    test: "test/clock/payload.test.ts",
    fails: "model refuses a payload that has a byte more or less",
  },
  {
    invariant: "binary forms",
    what: "a sum that is no seq is let through",
    edits: [
      {
        file: "src/clock/codec/payload.ts",
        find: "  if (least < 0 || most > MAX_SEQ) throw",
        replace: "  if (least < -Number.MAX_VALUE || most > Number.MAX_VALUE) throw",
      },
    ],
    test: "test/clock/payload.test.ts",
    fails: "what no codec has written is refused",
  },
  {
    invariant: "binary forms",
    what: "the runtime's zstd is believed to heed dictionaries without a try",
    edits: [
      {
        file: "src/clock/zstd.ts",
        find: "  nativeDictionaries ??= native !== undefined && tryDictionary(native);",
        replace: "  nativeDictionaries ??= native !== undefined;",
      },
    ],
    test: "test/clock/golden.test.ts",
    fails: "deno reads the golden bytes",
  },
];

/** All of them. */
export const clockBreakages: readonly Breakage[] = [
  ...monotone,
  ...resumable,
  ...branchSafe,
  ...forms,
];
