// The file of documents and metadata: the tables of documents and vbuckets, and the feed of them.

import type { Connection } from "./connection.ts";
import { DocumentTable } from "./document-table.ts";
import { EmbeddedFeed } from "./feed.ts";
import { Scanner } from "./scan.ts";
import { type FileContext, StoreFile } from "./store-file.ts";
import { VbucketTable } from "./vbucket-table.ts";

/** What a test may ask for beyond what users get. */
export interface DocumentsFileOptions {
  readonly vbuckets: number;
  /** Keep older versions of documents, so that the tail of a vbucket can be cut off. */
  readonly keepHistory: boolean;
}

/** The documents file, open. */
export class DocumentsFile extends StoreFile {
  readonly vbuckets: VbucketTable;
  readonly table: DocumentTable;
  readonly scanner: Scanner;
  readonly feed: EmbeddedFeed;
  /** Vbuckets that this transaction began a new branch of. */
  readonly branched: number[] = [];
  #savedLive = 0;

  constructor(connection: Connection, context: FileContext, options: DocumentsFileOptions) {
    super(connection, context);
    this.vbuckets = new VbucketTable(connection, options.vbuckets);
    this.table = new DocumentTable(connection, this.vbuckets, this.cas, options.keepHistory);
    this.scanner = new Scanner(connection);
    this.feed = new EmbeddedFeed(this, this.vbuckets, context.log);
  }

  override load(): void {
    super.load();
    this.table.live = this.loadState("live_documents");
    this.#savedLive = this.table.live;
    const changed = this.vbuckets.load();
    if (changed.length > 0) this.feed.replaced(changed);
  }

  override ending(): void {
    super.ending();
    this.vbuckets.save();
    if (this.table.live !== this.#savedLive) this.saveState("live_documents", this.table.live);
  }

  override committed(): void {
    super.committed();
    this.vbuckets.committed();
    this.#savedLive = this.table.live;
    if (this.branched.length > 0) this.feed.replaced(this.branched.splice(0));
    const written = this.table.written;
    if (written.length === 0) return;
    this.table.written = [];
    this.feed.published(written);
  }

  override rolledBack(): void {
    super.rolledBack();
    this.table.written = [];
    this.branched.length = 0;
  }
}
