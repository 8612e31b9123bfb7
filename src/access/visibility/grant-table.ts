// What one principal was granted, by all documents together: a table of spans of the clock, folded
// from its pseudo-channel. Pure: no input or output. Roles are names here; who puts a user and its
// roles together is principal-access.ts.

import type { Clock } from "../../clock/tick.ts";
import type { Entry, Grant } from "../../index/types.ts";

/** What one document has said last. */
interface Source {
  readonly vb: number;
  readonly seq: number;
  readonly grants: readonly Grant[];
}

/** The kinds of things that are granted. */
export type GrantKind = Grant["kind"];

const NOTHING: ReadonlySet<string> = new Set();

/** Versions given out: no two states of any tables have the same. */
let versions = 0;

/** The spans of one principal. */
export class GrantTable {
  readonly #sources = new Map<string, Source>();
  #spans = 0;
  #version = ++versions;
  /** What holds now, found when it is asked for. */
  #now: Record<GrantKind, ReadonlySet<string>> | undefined;
  /** The names of all roles in the table, held now or not; found when it is asked for. */
  #roles: ReadonlySet<string> | undefined;

  /** Spans in the table. */
  get spans(): number {
    return this.#spans;
  }

  /** Changes with every entry taken; no other table ever has the same. */
  get version(): number {
    return this.#version;
  }

  /**
   * Takes the next entry of the pseudo-channel: of its document it is the newest, and tells that
   * document's whole past.
   */
  add({ docId, vb, seq, grants }: Entry): void {
    const before = this.#sources.get(docId);
    if (before && before.seq >= seq) return;
    this.#spans += (grants?.length ?? 0) - (before?.grants.length ?? 0);
    this.#sources.set(docId, { vb, seq, grants: grants ?? [] });
    this.#version = ++versions;
    this.#now = undefined;
    this.#roles = undefined;
  }

  /** The names that are granted and not withdrawn. */
  now(kind: GrantKind): ReadonlySet<string> {
    if (this.#now === undefined) {
      const channel = new Set<string>();
      const role = new Set<string>();
      for (const { grants } of this.#sources.values()) {
        for (const grant of grants) {
          if (grant.until === 0) (grant.kind === "role" ? role : channel).add(grant.name);
        }
      }
      this.#now = { channel, role };
    }
    return this.#now[kind];
  }

  /** The names of the roles that were ever granted, as far as the table goes back. */
  get roles(): ReadonlySet<string> {
    if (this.#roles === undefined) {
      let roles: Set<string> | undefined;
      for (const { grants } of this.#sources.values()) {
        for (const { kind, name } of grants) {
          if (kind !== "role") continue;
          roles ??= new Set();
          roles.add(name);
        }
      }
      this.#roles = roles ?? NOTHING;
    }
    return this.#roles;
  }

  /** Whether everything in the table is in `clock`: what holds then is what holds now. */
  isWithin(clock: Clock): boolean {
    for (const { vb, seq } of this.#sources.values()) if (seq > clock[vb]!) return false;
    return true;
  }

  /** Adds to `names` what was granted at `from` and from then on without a break until `to`. */
  held(kind: GrantKind, from: Clock, to: Clock, names: Set<string>): void {
    for (const { vb, grants } of this.#sources.values()) {
      const first = from[vb]!;
      const last = to[vb]!;
      for (const grant of grants) {
        if (grant.kind !== kind || grant.from > first) continue;
        if (grant.until === 0 || grant.until > last) names.add(grant.name);
      }
    }
  }
}
