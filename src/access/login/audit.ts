// The audit log: one structured line for each event that matters to security. User data is in the
// field `ud` alone, so that a log can leave it out (`log.redact`); secrets are in no field.

import type { Log } from "../../base/log.ts";

/** What happened. */
export type AuditEvent =
  | "login"
  | "login_failed"
  | "login_limited"
  | "logout"
  | "session_created"
  | "sessions_ended"
  | "user_changed"
  | "user_removed"
  | "role_changed"
  | "role_removed"
  | "admin_login_failed"
  | "admin_action";

/** What belongs to an event. */
export interface AuditFields {
  readonly database?: string | undefined;
  /** How the login was made: `password`, `session`, `token`, `oidc`. */
  readonly via?: string;
  /** The administrator that acted; undefined when the listener asks for no credentials. */
  readonly admin?: string | undefined;
  readonly method?: string;
  readonly route?: string;
  readonly status?: number;
  readonly reason?: string;
  /** User data. */
  readonly ud?: {
    readonly user?: string | undefined;
    readonly role?: string;
    readonly address?: string | undefined;
  };
}

/** Writes audit lines, all as information: a flood of bad logins is no fault of the gateway. */
export class Audit {
  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  /** Writes one line. */
  write(event: AuditEvent, fields: AuditFields): void {
    this.#log.info({ audit: true, event, ...fields }, `audit: ${event}`);
  }
}
