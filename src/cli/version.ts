// Which Tidegate this is: from package.json, and from the build when there was one.

import packageJson from "../../package.json" with { type: "json" };
import { runtimeName } from "../runtime/process.ts";

/** The commit that `build.ts` puts in; there is none when the source is run. */
declare const TIDEGATE_COMMIT: string | undefined;

/** The version of package.json. */
export const version: string = packageJson.version;

/** The commit that was built, shortened; undefined when the source is run. */
export const commit: string | undefined =
  typeof TIDEGATE_COMMIT === "string" ? TIDEGATE_COMMIT : undefined;

/** What `tidegate version` prints. Loads Couchbase's native client, to show that it is there. */
export async function versionText(): Promise<string> {
  const built = commit === undefined ? "" : ` (${commit})`;
  return [
    `tidegate ${version}${built}`,
    `runtime ${runtimeName()}`,
    `couchbase ${await couchbaseVersion()}`,
    "",
  ].join("\n");
}

/** The native client tells its own version: it cannot do that without being loaded. */
async function couchbaseVersion(): Promise<string> {
  const [{ cbppMetadata }, { default: sdk }] = await Promise.all([
    import("couchbase"),
    import("couchbase/package.json", { with: { type: "json" } }),
  ]);
  const native = JSON.parse(cbppMetadata) as { semver: string; openssl_runtime: string };
  return `${sdk.version} (native client ${native.semver}, ${native.openssl_runtime})`;
}
