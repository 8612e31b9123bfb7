// What happens in a random history of access: the commands, by chance, and how histories begin. How a
// command is carried out, and what must hold, is history.ts.

import fc from "fast-check";
import type { Reader } from "./model.ts";
import type { Says } from "./rig.ts";

const CHANNELS = ["A", "B", "C"];
const USERS = ["u", "v"];
const ROLES = ["r", "s"];
const DOCUMENTS = ["0", "1", "2", "3", "4"];

/** What happens in a history. */
export type Command =
  | { readonly kind: "save"; readonly id: string; readonly says: Says; readonly deleted: boolean }
  | {
      readonly kind: "admin";
      readonly principal: string;
      readonly channels: readonly string[];
      readonly roles: readonly string[];
      readonly deleted: boolean;
    }
  | {
      readonly kind: "tick";
      readonly vbs: readonly number[] | undefined;
      readonly unknown: boolean;
    }
  | { readonly kind: "compact" }
  | {
      readonly kind: "read";
      readonly reader: number;
      readonly limit: number | undefined;
      /** Whether the reader goes away afterwards, to come back with its position. */
      readonly leaves: boolean;
    };

const few = <T>(names: readonly T[]) => fc.subarray([...names], { maxLength: 2 });
const granted = fc.oneof(
  { weight: 8, arbitrary: few(CHANNELS) },
  { weight: 1, arbitrary: fc.constant(["*"]) },
);
const says: fc.Arbitrary<Says> = fc.record({
  channels: fc.oneof(
    { weight: 6, arbitrary: few(CHANNELS) },
    { weight: 1, arbitrary: fc.constant(["!"]) },
  ),
  access: fc.array(fc.tuple(fc.constantFrom(...USERS, ...ROLES.map((r) => `role:${r}`)), granted), {
    maxLength: 1,
  }),
  roles: fc.array(fc.tuple(fc.constantFrom(...USERS), few(ROLES)), { maxLength: 1 }),
});
const rarely = fc.integer({ min: 0, max: 5 }).map((n) => n === 5);

/** Any command. */
export const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("save" as const),
      id: fc.constantFrom(...DOCUMENTS),
      says,
      deleted: rarely,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("admin" as const),
      principal: fc.constantFrom("user:u", "user:u", "user:v", "role:r", "role:s"),
      channels: granted,
      roles: few(ROLES),
      deleted: rarely,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("tick" as const),
      vbs: fc.option(fc.subarray([0, 1, 2, 3], { minLength: 1 }), { nil: undefined, freq: 2 }),
      unknown: rarely,
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("read" as const),
      reader: fc.integer({ min: 0, max: 1 }),
      limit: fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined, freq: 2 }),
      leaves: rarely,
    }),
  },
);

/** Any command, or a compaction of the index. */
export const commandOrCompaction: fc.Arbitrary<Command> = fc.oneof(
  { weight: 6, arbitrary: command },
  { weight: 1, arbitrary: fc.constant({ kind: "compact" as const }) },
);

/**
 * How a history begins: with nothing, or with a user who sees some documents, which by chance alone
 * is so seldom that little could be taken away again.
 */
export const beginning: fc.Arbitrary<readonly Command[]> = fc.oneof(
  fc.constant([]),
  fc
    .record({ channel: fc.constantFrom(...CHANNELS), user: fc.constantFrom("u", "u", "v") })
    .map(({ channel, user }): Command[] => [
      ...DOCUMENTS.slice(0, 4).map((id): Command => {
        const said = { channels: [channel], access: [], roles: [] };
        return { kind: "save", id, says: said, deleted: false };
      }),
      { kind: "admin", principal: `user:${user}`, channels: [channel], roles: [], deleted: false },
      { kind: "tick", vbs: undefined, unknown: false },
    ]),
);

/** Whether a history has channels of everybody. */
export const open: fc.Arbitrary<boolean> = fc.integer({ min: 0, max: 19 }).map((n) => n === 19);

/** Any reader. */
export const reader: fc.Arbitrary<Reader> = fc.record({
  user: fc.constantFrom("u", "u", "v"),
  revocations: fc.boolean(),
  activeOnly: rarely,
  asked: fc.option(few([...CHANNELS, "!"]), { nil: undefined, freq: 5 }),
});
