// The naive model of access: every version of every document in a list, and everything found out from
// that list anew, by definition. What it is held against is the rig.

import type { Clock, Stable } from "../../src/clock/tick.ts";
import type { Says } from "./rig.ts";

/** One version of a document. Of a deletion the channels are those that its own run gave. */
export interface Version extends Says {
  readonly id: string;
  readonly vb: number;
  readonly seq: number;
  readonly rev: string;
  readonly deleted: boolean;
}

/** Who reads, and what it asks for. */
export interface Reader {
  readonly user: string;
  readonly revocations: boolean;
  readonly activeOnly: boolean;
  /** The channels asked for; undefined: all. */
  readonly asked: readonly string[] | undefined;
}

/** A row as the model expects it. */
export interface ExpectedRow {
  readonly vb: number;
  readonly seq: number;
  readonly id: string;
  readonly rev: string;
  readonly deleted: boolean;
  readonly revoked: boolean;
  /** Sorted. */
  readonly removed: readonly string[] | undefined;
}

/** One way in which a user sees a channel: by a document, or by two and a role. */
interface Path {
  readonly channel: string;
  readonly steps: readonly { source: string; grants: (version: Version) => boolean }[];
}

/** All that was ever saved. */
export class Model {
  readonly versions = new Map<string, Version[]>();

  add(version: Version): void {
    const versions = this.versions.get(version.id) ?? [];
    versions.push(version);
    this.versions.set(version.id, versions);
  }

  newest(id: string, clock?: Clock): Version | undefined {
    return this.versions.get(id)?.findLast(({ vb, seq }) => !clock || seq <= clock[vb]!);
  }

  /** The channels that the user sees at `clock`. */
  visible(user: string, clock: Clock): Set<string> {
    return this.held(user, clock, clock);
  }

  /** The channels that the user sees at both clocks, and by the same path at each version between. */
  held(user: string, from: Clock, to: Clock): Set<string> {
    const channels = new Set(["!"]);
    for (const { channel, steps } of this.#paths(user)) {
      const holds = steps.every(({ source, grants }) => {
        const versions = this.versions.get(source) ?? [];
        const first = versions.findLastIndex(({ vb, seq }) => seq <= from[vb]!);
        const last = versions.findLastIndex(({ vb, seq }) => seq <= to[vb]!);
        return first >= 0 && versions.slice(first, last + 1).every(grants);
      });
      if (holds) channels.add(channel);
    }
    return channels;
  }

  /** Every path that any version of any document has ever opened. */
  *#paths(user: string): Generator<Path> {
    for (const [source, versions] of this.versions) {
      for (const channel of new Set(versions.flatMap((one) => granted(one, user)))) {
        const grants = (version: Version) => granted(version, user).includes(channel);
        yield { channel, steps: [{ source, grants }] };
      }
      for (const role of new Set(versions.flatMap((one) => rolesGiven(one, user)))) {
        const first = {
          source,
          grants: (version: Version) => rolesGiven(version, user).includes(role),
        };
        for (const [other, others] of this.versions) {
          const name = `role:${role}`;
          for (const channel of new Set(others.flatMap((one) => granted(one, name)))) {
            const grants = (version: Version) => granted(version, name).includes(channel);
            yield { channel, steps: [first, { source: other, grants }] };
          }
        }
      }
    }
  }

  /**
   * The rows of the interval `(from, to]`.
   *
   * @param has the channels that the reader is known to have whole up to `from`
   * @param newest the newest tick now
   */
  rows(
    reader: Reader,
    from: Stable,
    to: Stable,
    has: ReadonlySet<string> | undefined,
    newest: Stable,
  ): { rows: ExpectedRow[]; sent: Set<string> } {
    const { user } = reader;
    const seenAtEnd = narrowed(this.visible(user, to.clock), reader.asked);
    const seenNow = narrowed(this.visible(user, newest.clock), reader.asked);
    const sent = both(seenAtEnd, seenNow);
    const known = has ?? narrowed(this.held(user, from.clock, to.clock), reader.asked);
    const had = has ?? narrowed(this.held(user, from.clock, newest.clock), reader.asked);
    const before = narrowed(this.visible(user, from.clock), reader.asked);
    const lost = reader.revocations ? [...before].filter((name) => !covers(seenAtEnd, name)) : [];
    const dropped = reader.revocations
      ? [...both(known, seenAtEnd)].filter((name) => !covers(seenNow, name))
      : [];
    const rows: ExpectedRow[] = [];
    for (const versions of this.versions.values()) {
      if (versions[0]?.id.startsWith("_")) continue;
      const entries: { version: Version; channel: string; lost: boolean; revoked: boolean }[] = [];
      for (const channel of sent) {
        const isNew = covers(known, channel);
        const entry = entryOf(versions, channel, isNew ? from.clock : undefined, to.clock);
        if (entry && (isNew || !entry.lost)) entries.push({ ...entry, channel, revoked: false });
        // A channel that was lost and is back: a part of it the reader may have.
        if (isNew || !covers(before, channel)) continue;
        const left = entryOf(versions, channel, from.clock, to.clock);
        if (left?.lost) entries.push({ ...left, channel, revoked: false });
      }
      for (const channel of lost) {
        const entry = entryOf(versions, channel, undefined, from.clock);
        if (!entry || entry.lost || entry.version.deleted) continue;
        entries.push({ ...entry, channel, lost: true, revoked: true });
      }
      for (const channel of dropped) {
        const entry = entryOf(versions, channel, from.clock, to.clock);
        if (entry?.lost) entries.push({ ...entry, channel, revoked: true });
      }
      const row = rowOf(entries);
      if (row === undefined) continue;
      const head = versions.at(-1)!;
      const sees = (clock: Clock) => {
        const channels = this.visible(user, clock);
        return channels.has("*") || head.channels.some((name) => channels.has(name));
      };
      if (row.revoked) {
        if (head.seq <= to.clock[head.vb]! && sees(to.clock) && sees(newest.clock)) continue;
      } else if (row.seq <= from.clock[row.vb]!) {
        if (head.seq !== row.seq) continue;
        if (had.has("*") || head.channels.some((name) => had.has(name))) continue;
      }
      if (reader.activeOnly && !row.revoked && (row.deleted || row.removed)) continue;
      rows.push(row);
    }
    rows.sort((a, b) => a.vb - b.vb || a.seq - b.seq);
    return { rows, sent };
  }
}

/** The newest entry that a channel has of a document in `(from, to]`: there, or left. */
function entryOf(
  versions: readonly Version[],
  channel: string,
  from: Clock | undefined,
  to: Clock,
): { version: Version; lost: boolean } | undefined {
  let found: { version: Version; lost: boolean } | undefined;
  for (const [i, version] of versions.entries()) {
    const { vb, seq } = version;
    if (seq > to[vb]!) break;
    if (from && seq <= from[vb]!) continue;
    const isIn = channel === "*" || version.channels.includes(channel);
    const wasIn = versions[i - 1]?.channels.includes(channel) ?? false;
    if (isIn || wasIn) found = { version, lost: !isIn };
  }
  return found;
}

/** The newest of a document's entries in several channels: who is in one has not lost it. */
function rowOf(
  entries: readonly { version: Version; channel: string; lost: boolean; revoked: boolean }[],
): ExpectedRow | undefined {
  const seq = Math.max(...entries.map(({ version }) => version.seq));
  const newest = entries.filter(({ version }) => version.seq === seq);
  const [first] = newest;
  if (first === undefined) return undefined;
  const { vb, id, rev, deleted } = first.version;
  const isThere = newest.some(({ lost }) => !lost);
  const removed = isThere ? undefined : newest.map(({ channel }) => channel).sort();
  const revoked = !isThere && newest.every((entry) => entry.revoked);
  return { vb, seq, id, rev, deleted, revoked, removed };
}

function granted({ deleted, access }: Version, principal: string): string[] {
  if (deleted) return [];
  return access.flatMap(([name, channels]) => (name === principal ? channels : []));
}

function rolesGiven({ deleted, roles }: Version, user: string): string[] {
  if (deleted) return [];
  return roles.flatMap(([name, given]) => (name === user ? given : []));
}

/** Whether `channels`, of which `*` is all, has `name`. */
export function covers(channels: ReadonlySet<string>, name: string): boolean {
  return channels.has("*") || channels.has(name);
}

function narrowed(
  channels: ReadonlySet<string>,
  asked: readonly string[] | undefined,
): ReadonlySet<string> {
  if (asked !== undefined) return new Set(asked.filter((name) => covers(channels, name)));
  return channels.has("*") ? new Set(["*"]) : channels;
}

function both(one: ReadonlySet<string>, other: ReadonlySet<string>): Set<string> {
  if (one.has("*")) return new Set(other);
  return new Set([...one].filter((name) => covers(other, name)));
}
