// What the crash test knows must be there: for every document the save that was acknowledged last,
// and the save in flight when the gateway was killed, which may have happened or not.

/** What a client can see of a document's newest revision. */
export interface Version {
  readonly rev: string;
  readonly deleted: boolean;
  /** What the body carries; undefined for deletions. */
  readonly token: string | undefined;
  readonly channels: readonly string[];
}

/** A save that was sent. */
export interface Attempt {
  readonly deleted: boolean;
  readonly token: string | undefined;
  readonly channels: readonly string[];
}

/** A document as a server shows it after a restart. */
export interface Observed {
  readonly rev: string;
  readonly deleted: boolean;
  readonly token: string | undefined;
}

interface Entry {
  acknowledged: Version | undefined;
  inFlight: Attempt | undefined;
  /** Every channel that the document was ever in. */
  readonly everIn: Set<string>;
}

/** The documents of the crash test. */
export class Model {
  readonly #entries = new Map<string, Entry>();
  /** How many saves were acknowledged, and how many in flight turned out to have happened. */
  acknowledgedSaves = 0;
  keptInFlight = 0;
  lostInFlight = 0;

  /** The save that `id` stands at; undefined when it was never saved. */
  version(id: string): Version | undefined {
    return this.#entries.get(id)?.acknowledged;
  }

  /** Every id that was ever tried to be saved. */
  ids(): string[] {
    return [...this.#entries.keys()];
  }

  /** Every document with the save it stands at. */
  versions(): [id: string, version: Version][] {
    return [...this.#entries].flatMap(([id, entry]) =>
      entry.acknowledged ? [[id, entry.acknowledged] as [string, Version]] : [],
    );
  }

  /** Whether `id` was ever in `channel`. */
  wasIn(id: string, channel: string): boolean {
    return this.#entries.get(id)?.everIn.has(channel) ?? false;
  }

  /** How many saves are in flight. */
  get inFlight(): number {
    let count = 0;
    for (const entry of this.#entries.values()) if (entry.inFlight) count++;
    return count;
  }

  /** A save is about to be sent. One at a time for a document. */
  attempt(id: string, attempt: Attempt): void {
    const entry = this.#entries.get(id) ?? {
      acknowledged: undefined,
      inFlight: undefined,
      everIn: new Set<string>(),
    };
    if (entry.inFlight) throw new Error(`${id} has a save in flight already`);
    entry.inFlight = attempt;
    for (const channel of attempt.channels) entry.everIn.add(channel);
    this.#entries.set(id, entry);
  }

  /** The save in flight was acknowledged with `rev`. */
  acknowledge(id: string, rev: string): void {
    const entry = this.#entries.get(id);
    if (!entry?.inFlight) throw new Error(`${id} has no save in flight`);
    entry.acknowledged = { ...entry.inFlight, rev };
    entry.inFlight = undefined;
    this.acknowledgedSaves++;
  }

  /**
   * Compares with what the server has after a restart, and takes over which saves in flight
   * happened. Gives what is wrong, in words.
   *
   * @param observed undefined for a document that the server does not have
   */
  settle(id: string, observed: Observed | undefined): string | undefined {
    const entry = this.#entries.get(id);
    if (!entry) return `${id}: never saved, but there is ${JSON.stringify(observed)}`;
    const { acknowledged, inFlight } = entry;
    if (same(observed, acknowledged)) {
      if (inFlight) this.lostInFlight++;
      entry.inFlight = undefined;
      return undefined;
    }
    const generation = (rev: string | undefined) => (rev ? Number.parseInt(rev, 10) : 0);
    if (
      inFlight &&
      observed &&
      observed.deleted === inFlight.deleted &&
      observed.token === inFlight.token &&
      generation(observed.rev) === generation(acknowledged?.rev) + 1
    ) {
      this.keptInFlight++;
      entry.acknowledged = { ...inFlight, rev: observed.rev };
      entry.inFlight = undefined;
      return undefined;
    }
    return (
      `${id}: there is ${JSON.stringify(observed)}, acknowledged was ` +
      `${JSON.stringify(acknowledged)}, in flight ${JSON.stringify(inFlight)}`
    );
  }
}

function same(observed: Observed | undefined, version: Version | undefined): boolean {
  if (!observed || !version) return observed === version;
  return (
    observed.rev === version.rev &&
    observed.deleted === version.deleted &&
    observed.token === version.token
  );
}
