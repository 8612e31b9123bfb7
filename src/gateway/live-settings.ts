// The settings of an open database, some of which may change while it is open.

import type { DatabaseSettings } from "./types.ts";

/** Settings that can change while the database is open. */
export class LiveSettings {
  current: DatabaseSettings;
  /** The limits as they are at the moment of the question. */
  readonly limits: DatabaseSettings["limits"];

  constructor(settings: DatabaseSettings) {
    this.current = settings;
    const now = () => this.current.limits;
    this.limits = {
      get documentBytes() {
        return now().documentBytes;
      },
      get attachmentBytes() {
        return now().attachmentBytes;
      },
      get revisionDepth() {
        return now().revisionDepth;
      },
      get documentIdBytes() {
        return now().documentIdBytes;
      },
    };
  }
}
