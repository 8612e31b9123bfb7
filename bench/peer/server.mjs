// The peer: PouchDB Server's own core (express-pouchdb) on LevelDB, in its leanest mode, as a process
// of its own. Plain JavaScript, so that it runs on Node 20 too; on Bun it is several times faster.
//
//   bun bench/peer/server.mjs DATA_DIRECTORY PORT [--sync]
//
// As shipped the peer does not sync its log: a killed process loses nothing, a power cut loses what
// the system had not written yet. `--sync` asks LevelDB to sync each write before it is answered.

import { mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

const require = createRequire(import.meta.url);
const express = require("express");
const expressPouch = require("express-pouchdb");
const leveldown = require("leveldown");
const PouchDB = require("pouchdb");

const [directory, port, mode] = process.argv.slice(2);
if (!directory || !port) {
  console.error("usage: bun bench/peer/server.mjs DATA_DIRECTORY PORT [--sync]");
  process.exit(2);
}
mkdirSync(directory, { recursive: true });
process.chdir(directory);

/** LevelDOWN whose every write waits until it is on the disk. */
function SyncedLevelDOWN(location) {
  const store = leveldown(location);
  const batch = store._batch.bind(store);
  const put = store._put.bind(store);
  const del = store._del.bind(store);
  store._batch = (operations, options, done) => batch(operations, { ...options, sync: true }, done);
  store._put = (key, value, options, done) => put(key, value, { ...options, sync: true }, done);
  store._del = (key, options, done) => del(key, { ...options, sync: true }, done);
  return store;
}
SyncedLevelDOWN.destroy = leveldown.destroy;

const Store = PouchDB.defaults({
  prefix: `${path.resolve(directory)}/`,
  ...(mode === "--sync" ? { db: SyncedLevelDOWN } : {}),
});
const app = express();
app.disable("x-powered-by");
app.use("/", expressPouch(Store, { mode: "minimumForPouchDB" }));
const server = app.listen(Number(port), "127.0.0.1");
server.keepAliveTimeout = 600_000;
for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => process.exit(0));
