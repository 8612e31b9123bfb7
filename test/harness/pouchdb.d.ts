// The part of PouchDB 9 that the tests use; it ships no types.

declare module "pouchdb" {
  export interface PouchAttachment {
    content_type: string;
    data?: string | Buffer;
    digest?: string;
    length?: number;
    revpos?: number;
    stub?: boolean;
  }
  export interface PouchDocument {
    _id: string;
    _rev?: string;
    _deleted?: boolean;
    _conflicts?: string[];
    _attachments?: Record<string, PouchAttachment>;
    [key: string]: unknown;
  }
  export interface PouchWritten {
    ok: boolean;
    id: string;
    rev: string;
  }
  export interface PouchChange {
    id: string;
    seq: number | string;
    changes: { rev: string }[];
    deleted?: boolean;
  }
  export interface PouchReplicationOptions {
    live?: boolean;
    retry?: boolean;
    batch_size?: number;
    batches_limit?: number;
    heartbeat?: number | false;
    timeout?: number | false;
    filter?: string;
    query_params?: Record<string, string>;
    doc_ids?: string[];
    since?: number | string;
    style?: "all_docs" | "main_only";
    back_off_function?: (delay: number) => number;
  }
  export interface PouchReplicationInfo {
    ok: boolean;
    docs_read: number;
    docs_written: number;
    doc_write_failures: number;
    errors: unknown[];
    last_seq: number | string;
  }
  export interface PouchReplication extends Promise<PouchReplicationInfo> {
    cancel(): void;
    on(event: string, listener: (value: unknown) => void): this;
  }
  export interface PouchRow {
    id: string;
    key: string;
    value: { rev: string; deleted?: boolean };
    doc?: PouchDocument | null;
    error?: string;
  }

  export default class PouchDB {
    constructor(name: string, options?: Record<string, unknown>);
    readonly name: string;
    readonly replicate: {
      to(target: string | PouchDB, options?: PouchReplicationOptions): PouchReplication;
      from(source: string | PouchDB, options?: PouchReplicationOptions): PouchReplication;
    };
    sync(target: string | PouchDB, options?: PouchReplicationOptions): PouchReplication;
    put(document: PouchDocument, options?: { force?: boolean }): Promise<PouchWritten>;
    get(
      id: string,
      options?: {
        rev?: string;
        revs?: boolean;
        conflicts?: boolean;
        attachments?: boolean;
        binary?: boolean;
      },
    ): Promise<PouchDocument>;
    get(
      id: string,
      options: { open_revs: "all" | string[]; attachments?: boolean },
    ): Promise<{ ok: PouchDocument }[]>;
    remove(document: { _id: string; _rev?: string }): Promise<PouchWritten>;
    bulkDocs(
      documents: readonly PouchDocument[],
      options?: { new_edits?: boolean },
    ): Promise<(PouchWritten & { error?: boolean; name?: string })[]>;
    allDocs(options?: {
      include_docs?: boolean;
      conflicts?: boolean;
      attachments?: boolean;
      keys?: string[];
      startkey?: string;
      limit?: number;
      skip?: number;
    }): Promise<{ total_rows: number; rows: PouchRow[] }>;
    changes(options?: {
      since?: number | string;
      limit?: number;
      style?: "all_docs";
      include_docs?: boolean;
    }): Promise<{ results: PouchChange[]; last_seq: number | string }>;
    putAttachment(
      id: string,
      name: string,
      rev: string,
      data: Buffer,
      type: string,
    ): Promise<PouchWritten>;
    getAttachment(id: string, name: string, options?: { rev?: string }): Promise<Buffer>;
    removeAttachment(id: string, name: string, rev: string): Promise<PouchWritten>;
    info(): Promise<{ doc_count: number; update_seq: number | string }>;
    close(): Promise<void>;
    destroy(): Promise<void>;
  }
}
