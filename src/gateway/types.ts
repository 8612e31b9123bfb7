// A gateway and its databases, put together from the floors below. The server sees only this.

import type { PrincipalStore } from "../access/ports.ts";
import type { OpenAccess } from "../access/visibility/open-access.ts";
import type { Bucket } from "../bucket/bucket.ts";
import type { Branches } from "../clock/branches.ts";
import type { OidcProviderSettings, TokenIssuerSettings } from "../config/token-schema.ts";
import type { LookupMap, StableClock } from "../controller/ports.ts";
import type { DocumentStore } from "../documents/types.ts";
import type { IndexReader } from "../index/types.ts";
import type { ChangesEngine } from "../replication/types.ts";

/** The settings of one database, all with defaults. */
export interface DatabaseSettings {
  /** The sync function's source; undefined: `channel(doc.channels)`. */
  readonly syncFunction?: string;
  /** Whether requests without credentials are served on the public listener, and what they see. */
  readonly guest: boolean | { readonly channels: readonly string[] };
  readonly sessions: {
    readonly ttlSeconds: number;
    readonly sameSite: "lax" | "strict" | "none";
    readonly secure: "auto" | "always" | "never";
  };
  /** Who may vouch for users by bearer tokens. */
  readonly tokens: readonly TokenIssuerSettings[];
  /** OpenID providers that browsers log in at. */
  readonly oidc: { readonly providers: Readonly<Record<string, OidcProviderSettings>> };
  /** What of other programs' documents is imported; without a filter all of them. */
  readonly import?: { readonly filter?: string | undefined } | undefined;
  readonly changes: { readonly mode: "stable" | "eager" };
  readonly index: {
    readonly writer: "frontend" | "feed";
    readonly partitions: number;
    readonly shape: "computed" | "vbucket" | "partition";
  };
  readonly limits: {
    readonly documentBytes: number;
    readonly attachmentBytes: number;
    readonly revisionDepth: number;
    readonly documentIdBytes: number;
  };
}

/** Something in the background failed, or fails now. Shown in health, metrics and log. */
export interface HealthProblem {
  readonly part: string;
  readonly message: string;
  readonly sinceMs: number;
}

/** An open database: every floor of it. */
export interface Database {
  readonly name: string;
  readonly settings: DatabaseSettings;
  readonly bucket: Bucket;
  readonly documents: DocumentStore;
  /** The documents of users and roles. */
  readonly principals: PrincipalStore;
  /** What its users see. */
  readonly access: OpenAccess;
  readonly changes: ChangesEngine;
  readonly index: IndexReader;
  readonly stable: StableClock;
  readonly lookup: LookupMap;
  /** The rollbacks seen so far: what positions are clamped by. */
  readonly branches: Branches;
  health(): HealthProblem[];
  /** Counters and sizes of every floor, for metrics: name -> value. */
  metrics(): Readonly<Record<string, number>>;
  /** Finishes writes, publishes a last tick, lets go. */
  close(): Promise<void>;
}

/** The databases of this process. */
export interface Gateway {
  /** The open database; undefined when there is none of that name. */
  database(name: string): Database | undefined;
  names(): string[];
  /** Throws `database_exists`, `bad_database_name`, `bad_config`. */
  create(name: string, settings: Partial<DatabaseSettings>): Promise<Database>;
  /**
   * Gives a database other settings, whole; those not given go back to their defaults. Open feeds go
   * on. A changed sync function runs for saves from now on; `documents.resync()` runs it over the
   * documents that are there. Throws `not_found`, `bad_config`.
   */
  configure(name: string, settings: Partial<DatabaseSettings>): Promise<Database>;
  /** Throws `not_found`. Removes the data. */
  remove(name: string): Promise<void>;
  close(): Promise<void>;
}
