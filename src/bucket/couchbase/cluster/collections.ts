// The collections that the gateway needs: found by the manifest, made when the server lets us, and
// otherwise asked for with the exact commands.

import type { Bucket as SdkBucket } from "couchbase";
import { CollectionExistsError } from "couchbase";
import { z } from "zod";
import { TidegateError } from "../../../base/errors.ts";
import type { Time } from "../../../runtime/time.ts";
import { sleep } from "../../../runtime/time.ts";
import { requireSuccess } from "../connection/handshake.ts";
import type { KvConnection } from "../connection/kv-connection.ts";
import { Opcode } from "../wire/opcodes.ts";

/** Where things are kept, as `scope.collection`. */
export interface CollectionNames {
  readonly documents: string;
  readonly metadata: string;
  readonly index: string;
}

/** The defaults: documents where other programs look for them, ours beside. */
export const DEFAULT_COLLECTIONS: CollectionNames = {
  documents: "_default._default",
  metadata: "_default.tidegate_metadata",
  index: "_default.tidegate_index",
};

/** How long a new collection may take to reach every node. */
const MAKE_TIMEOUT_MS = 10_000;
const MAKE_LOOK_MS = 50;

const manifestSchema = z.object({
  scopes: z.array(
    z.object({
      name: z.string(),
      collections: z.array(z.object({ name: z.string(), uid: z.string() })),
    }),
  ),
});

/** `scope.collection` -> id, as one node's manifest has it. */
export async function readManifest(connection: KvConnection): Promise<Map<string, number>> {
  const answer = await connection.request({ opcode: Opcode.collectionsGetManifest });
  requireSuccess(answer, "the collections' manifest");
  const parsed = manifestSchema.parse(JSON.parse(answer.value.toString("utf8")));
  return new Map(
    parsed.scopes.flatMap((scope) =>
      scope.collections.map(({ name, uid }): [string, number] => [
        `${scope.name}.${name}`,
        Number.parseInt(uid, 16),
      ]),
    ),
  );
}

/**
 * The ids of the collections; those that are missing are made first.
 *
 * Throws `bad_config` with the commands to run when the server does not let this user make them.
 */
export async function ensureCollections(
  connection: KvConnection,
  sdk: SdkBucket,
  names: CollectionNames,
  time: Time,
): Promise<{ documents: number; metadata: number; index: number }> {
  const wanted = Object.values(names) as string[];
  let manifest = await readManifest(connection);
  const missing = wanted.filter((name) => !manifest.has(name));
  if (missing.length > 0) await make(sdk, missing);
  const deadlineMs = time.monotonicMs() + MAKE_TIMEOUT_MS;
  while (wanted.some((name) => !manifest.has(name))) {
    if (time.monotonicMs() > deadlineMs) {
      throw new TidegateError(
        "unavailable",
        `The collections ${missing.join(", ")} did not appear.`,
      );
    }
    await sleep(time, MAKE_LOOK_MS);
    manifest = await readManifest(connection);
  }
  const id = (name: string) => manifest.get(name) as number;
  return { documents: id(names.documents), metadata: id(names.metadata), index: id(names.index) };
}

async function make(sdk: SdkBucket, missing: readonly string[]): Promise<void> {
  try {
    for (const name of missing) {
      const [scope, collection] = name.split(".") as [string, string];
      try {
        await sdk.collections().createCollection(collection, scope);
      } catch (error) {
        if (!(error instanceof CollectionExistsError)) throw error;
      }
    }
  } catch (cause) {
    throw new TidegateError("bad_config", makeThem(sdk.name, missing), { cause });
  }
}

function makeThem(bucket: string, missing: readonly string[]): string {
  const commands = missing.map(
    (name) =>
      `  couchbase-cli collection-manage -c HOST -u USER -p PASSWORD --bucket ${bucket} --create-collection ${name}`,
  );
  return `Collections are missing and this user may not make them. Run:\n${commands.join("\n")}`;
}
