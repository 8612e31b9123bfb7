// Runs the stories of the controller's core: a feed's events in, its work and its clock out.

import type { FeedMutation } from "../../src/bucket/feed.ts";
import { Validation, type Work } from "../../src/controller/validation.ts";
import { NEW_VBUCKET, type Pending, VbucketState } from "../../src/controller/vbucket-state.ts";
import type { RunCommand } from "./scenario-file.ts";

/** A story's core, with what it waits for. */
export function validationStory(): RunCommand {
  let nowMs = 0;
  let states: VbucketState[] = [];
  let core = new Validation({ graceMs: 500, replayUntil: () => 0 }, []);
  let memory: readonly Pending[] = [];
  let stored: readonly Pending[] = [];
  let heals: (readonly Pending[])[] = [];
  const names = (list: readonly Pending[]) => list.map(({ vb, seq }) => `${vb}.${seq}`).join(" ");

  const describe = (work: Work): string => {
    const lines: string[] = [];
    if (work.memory.length > 0) lines.push(`ask memory: ${names(work.memory)}`);
    if (work.stored.length > 0) lines.push(`ask journal: ${names(work.stored)}`);
    for (const { vb, seq } of work.clamps) lines.push(`clamp older ticks: vb ${vb} to ${seq}`);
    for (const batch of work.heals) lines.push(`heal: ${names(batch)}`);
    if (lines.length === 0) lines.push("nothing to do");
    return lines.join("\n");
  };

  /** Answers everything that was asked, from the set of recorded mutations. */
  const answer = (recorded: ReadonlyMap<string, readonly number[]>) => {
    const of = (list: readonly Pending[]) =>
      list.map(({ vb, seq }) => recorded.get(`${vb}.${seq}`));
    const [m, s] = [memory, stored];
    memory = [];
    stored = [];
    if (m.length > 0) core.memoryAnswered(m, of(m));
    if (s.length > 0) core.storedAnswered(s, of(s));
  };
  const recorded = new Map<string, readonly number[]>();

  const commands: Record<string, (words: readonly string[]) => string> = {
    open(words) {
      const { vbuckets = "1", grace = "500", replay = "0", clock = "0" } = options(words);
      states = Array.from(
        { length: Number(vbuckets) },
        (_, vb) =>
          new VbucketState(vb, {
            ...NEW_VBUCKET,
            clock: Number(clock),
            position: Number(clock),
            log: [{ vbuuid: "a".repeat(16), seq: 0 }],
          }),
      );
      core = new Validation({ graceMs: Number(grace), replayUntil: () => Number(replay) }, states);
      return "";
    },
    snapshot([vb, start, end]) {
      core.feed(
        { kind: "snapshot", vb: Number(vb), start: Number(start), end: Number(end) },
        nowMs,
      );
      return "";
    },
    mutation([name = "", key = "", ...words]) {
      core.feed(mutationOf(name, key, words.includes("foreign")), nowMs);
      return "";
    },
    advanced([name = ""]) {
      const [vb = 0, seq = 0] = name.split(".").map(Number);
      core.feed({ kind: "advanced", vb, seq }, nowMs);
      return "";
    },
    record([name = "", ...channels]) {
      recorded.set(
        name,
        channels.map((channel) => channel.charCodeAt(0)),
      );
      const [vb = 0, seq = 0] = name.split(".").map(Number);
      core.acknowledged([{ vb, seq }]);
      return "";
    },
    wait([ms]) {
      nowMs += Number(ms);
      return "";
    },
    work() {
      const work = core.work(nowMs);
      if (work.memory.length > 0) memory = work.memory;
      if (work.stored.length > 0) stored = work.stored;
      heals = [...heals, ...work.heals];
      const text = describe(work);
      answer(recorded);
      for (const { vb, seq } of work.clamps) core.clamped(vb, seq);
      return text;
    },
    /** Lets time pass until something is to be healed, answering what is asked meanwhile. */
    patience() {
      for (let rounds = 0; rounds < 100; rounds++) {
        const work = core.work(nowMs);
        if (work.memory.length > 0) memory = work.memory;
        if (work.stored.length > 0) stored = work.stored;
        answer(recorded);
        heals = [...heals, ...work.heals];
        for (const { vb, seq } of work.clamps) core.clamped(vb, seq);
        if (work.heals.length > 0) return `after ${nowMs} ms: ${describe({ ...work, memory: [] })}`;
        const { dueMs } = work.stored.length > 0 ? { dueMs: nowMs } : work;
        if (dueMs === Number.POSITIVE_INFINITY) return "nothing is due";
        nowMs = Math.max(nowMs, dueMs);
      }
      throw new Error("nothing was healed in 100 rounds");
    },
    healed(words) {
      const batch = heals.shift() ?? [];
      const channels = words.map((channel) => channel.charCodeAt(0));
      core.healed(
        batch,
        batch.map(() => (words[0] === "imported" ? "imported" : channels)),
      );
      return "";
    },
    fails() {
      core.healFailed(heals.shift() ?? [], nowMs);
      return `failing: ${core.failing}`;
    },
    rollback([vb, seq]) {
      core.drop(Number(vb));
      const state = core.vbucket(Number(vb));
      state.failover([{ vbuuid: "b".repeat(16), seq: Number(seq) }, ...state.record().log]);
      const position = state.rollback(Number(seq));
      core.touched(Number(vb));
      return `read vb ${position.vb} again from ${position.seq}`;
    },
    tick() {
      const { vbuckets, changed } = core.takeMoved();
      const clock = `clock [${states.map((state) => state.clock).join(" ")}]`;
      if (vbuckets.length === 0) return `${clock}, nothing moved`;
      const channels =
        changed === "unknown"
          ? "unknown"
          : [...changed].map((hash) => String.fromCharCode(hash)).join(" ");
      return `${clock}, changed: ${channels || "no channel"}`;
    },
  };
  return (name, words) => {
    const command = commands[name];
    if (command === undefined) throw new Error(`no such command: ${name}`);
    return command(words);
  };
}

function mutationOf(name: string, key: string, foreign: boolean): FeedMutation {
  const [vb = 0, seq = 0] = name.split(".").map(Number);
  return {
    kind: "mutation",
    vb,
    seq,
    key,
    cas: 1n,
    body: undefined,
    deleted: false,
    xattrs: foreign ? {} : { _sync: "{}" },
    expiry: 0,
  };
}

function options(words: readonly string[]): Record<string, string> {
  return Object.fromEntries(words.map((word) => word.split("=") as [string, string]));
}
