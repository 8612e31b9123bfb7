// The demo's database: 305 airports, put in once, and what a newcomer may try.

import { TidegateError } from "../base/errors.ts";
import type { JsonObject } from "../base/json.ts";
import type { Log } from "../base/log.ts";
import { type Address, formatAddress } from "../config/address.ts";
import { parseDatabaseSettings } from "../config/load.ts";
import type { Config } from "../config/schema.ts";
import { ADMIN } from "../documents/types.ts";
import type { Database, Gateway } from "../gateway/types.ts";
import airports from "./demo-airports.json" with { type: "json" };

/** The demo's database. */
export const DEMO_DATABASE = "demo";

/** Written when everything is in, so that it is put in once, and what a user removes stays away. */
const MARK = "_local/tidegate-demo";

const SYNC_FUNCTION = `function (doc) {
  if (!doc.type) throw({ forbidden: "a document of the demo has a type" });
  channel(doc.type);
  if (doc.state) channel("state-" + doc.state);
}`;

/** Whose requests the demo makes. */
const ACTOR = ADMIN;

/** The settings that `--demo` adds, below what the user set. */
export function withDemo(config: Config): Config {
  if (!config.demo) return config;
  const origins = config.cors.origins.length > 0 ? config.cors.origins : ["localhost"];
  return { ...config, cors: { ...config.cors, origins } };
}

/** Makes the demo's database when it is missing, and fills it when that was never finished. */
export async function openDemo(gateway: Gateway, log: Log): Promise<void> {
  const settings = parseDatabaseSettings({ guest: true, syncFunction: SYNC_FUNCTION });
  const database =
    gateway.database(DEMO_DATABASE) ?? (await gateway.create(DEMO_DATABASE, settings));
  if (await isFilled(database)) return;
  const outcomes = await database.documents.bulk(ACTOR, documents());
  const failed = outcomes.find((outcome) => "error" in outcome && outcome.error !== "conflict");
  if (failed && "error" in failed) {
    throw new TidegateError("internal", `the demo's ${failed.id}: ${failed.reason}`);
  }
  await database.documents.putLocal(ACTOR, MARK, { _id: MARK });
  log.info({ database: DEMO_DATABASE, documents: outcomes.length }, "filled the demo");
}

async function isFilled(database: Database): Promise<boolean> {
  try {
    await database.documents.getLocal(ACTOR, MARK);
    return true;
  } catch (error) {
    if (error instanceof TidegateError && error.status === 404) return false;
    throw error;
  }
}

function documents(): JsonObject[] {
  return airports.rows.map((row) => {
    const document: JsonObject = { _id: `airport:${row[0]}`, type: "airport" };
    airports.columns.forEach((column, at) => {
      document[column] = row[at] ?? null;
    });
    return document;
  });
}

/** What to try, printed when the demo is up. */
export function demoText(publicAddress: Address): string {
  const base = `http://${formatAddress(publicAddress)}`;
  return [
    "",
    "  Try it:",
    "",
    `    the page    ${base}/_demo`,
    `    curl        curl ${base}/${DEMO_DATABASE}/airport:SFO`,
    `    live        curl -N '${base}/${DEMO_DATABASE}/_changes?feed=continuous&since=now'`,
    `    PouchDB     new PouchDB("airports").sync("${base}/${DEMO_DATABASE}", { live: true })`,
    "",
    "",
  ].join("\n");
}
