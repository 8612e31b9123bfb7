// Who sees what, for one database: the access of its users, kept true by the ticks. What users and
// roles are beside that (passwords, sessions) is not known here.

import type { Access } from "../types.ts";
import { PrincipalAccess } from "./principal-access.ts";
import { TableCache, type TableSources } from "./table-cache.ts";

/** The access of a database's users. */
export interface OpenAccess {
  /**
   * What the user sees, up to the newest stable clock. A user that does not exist sees what
   * documents grant to its name: whether there is such a user is not asked here.
   *
   * @throws TidegateError as reads of the index do
   */
  user(name: string): Promise<Access>;
  /** Sizes for metrics: name -> value. */
  stats(): Record<string, number>;
  /** Hears of no more ticks. */
  close(): void;
}

/** Opens the access of a database. It hears of ticks until it is closed. */
export function openAccess(sources: TableSources): OpenAccess {
  const cache = new TableCache(sources);
  return {
    async user(name) {
      const access = cache.ofUser(name, () => new PrincipalAccess(name, cache));
      await access.refresh();
      return access;
    },
    stats: () => ({ tables: cache.size, tables_weight: cache.weight }),
    close: () => cache.close(),
  };
}
