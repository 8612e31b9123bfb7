// The mutation feed of the documents file: who listens, what changed, and reading pages of it.
// What does not live here: one reader's streams (feed-reader.ts), the rules of rollback (rollback.ts).

import type { Log } from "../../base/log.ts";
import type { Cancel } from "../../runtime/time.ts";
import type {
  FailoverEntry,
  Feed,
  FeedMutation,
  FeedOptions,
  FeedReader,
  StreamPosition,
} from "../feed.ts";
import type { SeqVector } from "../vbucket.ts";
import type { Query } from "./connection.ts";
import { type MutationRow, mutationOf } from "./document-table.ts";
import { isBusy } from "./failures.ts";
import { EmbeddedFeedReader } from "./feed-reader.ts";
import { FEED_POLL_MS, MAX_FEED_PAGE_ROWS } from "./limits.ts";
import { RecentMutations, sizeOf } from "./recent.ts";
import type { StoreFile } from "./store-file.ts";
import type { VbucketTable } from "./vbucket-table.ts";

/** Some mutations of a vbucket after a seq, and what they were read from. */
export interface FeedPage {
  readonly mutations: FeedMutation[];
  /** The vbucket's highest seq at the same moment. */
  readonly high: number;
  /** Whether these are all the mutations up to `high` (or up to the end that was asked for). */
  readonly complete: boolean;
}

/** The feed. */
export class EmbeddedFeed implements Feed {
  readonly vbuckets: VbucketTable;
  readonly #file: StoreFile;
  readonly #log: Log;
  readonly #recent: RecentMutations;
  readonly #readers = new Set<EmbeddedFeedReader>();
  readonly #withBody: Query<MutationRow>;
  readonly #withoutBody: Query<MutationRow>;
  #waiting = 0;
  #poll: Cancel | undefined;

  constructor(file: StoreFile, vbuckets: VbucketTable, log: Log) {
    this.#file = file;
    this.vbuckets = vbuckets;
    this.#log = log;
    this.#recent = new RecentMutations(vbuckets.high.length);
    const page = (body: string) =>
      file.connection.query<MutationRow>(
        `SELECT key, vb, seq, cas, state, expiry, xattrs, ${body} FROM documents
         WHERE vb = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT ${MAX_FEED_PAGE_ROWS}`,
      );
    this.#withBody = page("body");
    this.#withoutBody = page("NULL");
  }

  highSeqs(): Promise<SeqVector> {
    return this.#file.read(() => {
      this.#file.refresh();
      return this.vbuckets.high.slice();
    });
  }

  failoverLogs(): Promise<readonly (readonly FailoverEntry[])[]> {
    return this.#file.read(() => this.vbuckets.logs());
  }

  open(positions: readonly StreamPosition[], options: FeedOptions = {}): FeedReader {
    const reader = new EmbeddedFeedReader(this, positions, options);
    this.#readers.add(reader);
    return reader;
  }

  /** Readers open now. */
  get readers(): number {
    return this.#readers.size;
  }

  /** Runs a reader's collecting; see {@link StoreFile.read}. */
  reading<T>(read: () => T): Promise<T> {
    return this.#file.read(read);
  }

  /** Looks for writes of other processes. */
  refresh(): void {
    this.#file.refresh();
  }

  /** Mutations of this process were committed. */
  published(mutations: readonly FeedMutation[]): void {
    this.#recent.add(mutations);
    for (const reader of this.#readers) reader.changed(mutations);
  }

  /** Vbuckets were changed by another process, or cut: memory has nothing of them. */
  replaced(vbs: readonly number[]): void {
    for (const vb of vbs) this.#recent.reset(vb, this.vbuckets.high[vb] as number);
    const changes = vbs.map((vb) => ({ vb }));
    for (const reader of this.#readers) reader.changed(changes);
  }

  /** The mutations of `vb` in `(after, until]`: a page of them, from memory or from the file. */
  page(vb: number, after: number, until: number, withBody: boolean, maxBytes: number): FeedPage {
    if (this.#recent.has(vb, after)) return this.#recentPage(vb, after, until, withBody);
    return this.#file.connection.snapshot(() => {
      this.#file.refresh();
      const high = this.vbuckets.high[vb] as number;
      const query = withBody ? this.#withBody : this.#withoutBody;
      const mutations: FeedMutation[] = [];
      let bytes = 0;
      for (const row of query.iterate(vb, after, Math.min(high, until))) {
        const mutation = mutationOf(row);
        mutations.push(mutation);
        bytes += sizeOf(mutation);
        if (bytes >= maxBytes) break;
      }
      const complete = bytes < maxBytes && mutations.length < MAX_FEED_PAGE_ROWS;
      return { mutations, high, complete };
    });
  }

  #recentPage(vb: number, after: number, until: number, withBody: boolean): FeedPage {
    const kept = this.#recent.after(vb, after, MAX_FEED_PAGE_ROWS);
    const complete = kept.length < MAX_FEED_PAGE_ROWS || (kept.at(-1)?.seq ?? after) >= until;
    const inRange = kept.filter((mutation) => mutation.seq <= until);
    const newest = inRange.length > 1 ? newestOfEachKey(inRange) : inRange;
    const mutations = withBody ? newest : newest.map((m) => ({ ...m, body: undefined }));
    return { mutations, high: this.vbuckets.high[vb] as number, complete };
  }

  /** A reader begins to wait: other processes' writes must be looked for. */
  waits(): void {
    this.#waiting++;
    this.#poll ??= this.#file.time.every(FEED_POLL_MS, () => this.#look());
  }

  /** A reader waits no more. */
  waitsNoMore(): void {
    this.#waiting--;
    if (this.#waiting > 0) return;
    this.#poll?.();
    this.#poll = undefined;
  }

  /** Forgets a reader that was closed. */
  forget(reader: EmbeddedFeedReader): void {
    this.#readers.delete(reader);
  }

  /** Closes every reader. */
  close(): void {
    for (const reader of this.#readers) reader.close();
  }

  #look(): void {
    try {
      this.#file.refresh();
    } catch (error) {
      if (isBusy(error)) return;
      this.#log.error(
        { err: error, file: this.#file.connection.file },
        "feed cannot read its file",
      );
      // Their next look at the file fails as well, and they tell their consumers.
      for (const reader of this.#readers) reader.failed();
    }
  }
}

function newestOfEachKey(mutations: readonly FeedMutation[]): FeedMutation[] {
  const seen = new Set<string>();
  const newest: FeedMutation[] = [];
  for (let at = mutations.length - 1; at >= 0; at--) {
    const mutation = mutations[at] as FeedMutation;
    if (seen.has(mutation.key)) continue;
    seen.add(mutation.key);
    newest.push(mutation);
  }
  return newest.reverse();
}
