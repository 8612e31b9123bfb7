// Tokens and OpenID logins of one open database, by its settings as they are now.

import type { Audit } from "../../access/login/audit.ts";
import type { Principals } from "../../access/principals/principals.ts";
import { PendingLogins } from "../../access/tokens/oidc/pending.ts";
import { TokenLogins } from "../../access/tokens/token-logins.ts";
import type { Log } from "../../base/log.ts";
import type { Database } from "../../gateway/types.ts";
import type { Random } from "../../runtime/random.ts";
import type { Time } from "../../runtime/time.ts";

/** What {@link TokenAuth} needs of the process. */
export interface TokenAuthParts {
  readonly audit: Audit;
  readonly log: Log;
  readonly time: Time;
  readonly random: Random;
}

/** Tokens and OpenID logins of one database. */
export class TokenAuth {
  /** Logins that are under way at a provider. */
  readonly pending: PendingLogins;
  readonly #database: Database;
  readonly #principals: Principals;
  readonly #parts: TokenAuthParts;
  /** What the settings say; keys and addresses of providers are kept with it. */
  #made: { readonly settings: Database["settings"]; readonly logins: TokenLogins } | undefined;

  constructor(database: Database, principals: Principals, parts: TokenAuthParts) {
    const { time, random, log } = parts;
    const { name, bucket } = database;
    this.#database = database;
    this.#principals = principals;
    this.#parts = { ...parts, log: log.child({ database: name }) };
    this.pending = new PendingLogins({ database: name, metadata: bucket.metadata, time, random });
  }

  /** Who tokens are of. */
  get logins(): TokenLogins {
    const { settings, name } = this.#database;
    if (this.#made?.settings === settings) return this.#made.logins;
    const { audit, log, time } = this.#parts;
    const principals = this.#principals;
    const logins = new TokenLogins({ database: name, settings, principals, audit, log, time });
    this.#made = { settings, logins };
    return logins;
  }
}
