// `tidegate check couchbase://…` says what works and what is missing.

import { afterEach, expect, test } from "bun:test";
import { silentLog } from "../../src/base/log.ts";
import { checkCouchbase, type Finding, findingLine } from "../../src/bucket/couchbase/check.ts";
import type { CouchbaseBucketOptions } from "../../src/bucket/couchbase/couchbase-bucket.ts";
import { Opcode } from "../../src/bucket/couchbase/wire/opcodes.ts";
import { systemRandom } from "../../src/runtime/random.ts";
import { systemTime } from "../../src/runtime/time.ts";
import { DcpWorld } from "./dcp-world.ts";

let world: DcpWorld;
afterEach(() => world.close());

async function check(options: Partial<CouchbaseBucketOptions> = {}): Promise<Finding[]> {
  const findings: Finding[] = [];
  const all = {
    connectionString: `couchbase://127.0.0.1:${world.cluster.address.port}/places`,
    ...world.cluster.user,
    connectTimeoutMs: 2000,
    time: systemTime(),
    random: systemRandom,
    log: silentLog,
    ...options,
  };
  for await (const finding of checkCouchbase(all)) findings.push(finding);
  return findings;
}

test("a bucket with everything", async () => {
  world = await DcpWorld.start({ replicas: 1 });
  const findings = await check({ rollbackMitigation: true });
  expect(findings.filter(({ ok }) => !ok).map(findingLine)).toEqual([]);
  expect(findings.length).toBe(11);
  const text = findings.map(findingLine).join("\n");
  expect(text).toContain("2 nodes, 16 vbuckets, 1 replicas");
  expect(text).toContain("rollback mitigation: 2 nodes tell what is on their disks");
  // It takes away what it wrote: the one document's tombstone is no document.
  expect(await world.bucket.documents.count()).toBe(0);
  expect(await world.bucket.metadata.keys("_sync:check", { limit: 10 })).toEqual([]);
});

test("a wrong password ends it, with what to look at", async () => {
  world = await DcpWorld.start();
  const findings = await check({ password: "wrong" });
  expect(findings.map(({ ok }) => ok)).toEqual([true, false]);
  expect(findingLine(findings[1]!)).toStartWith("MISSING the cluster map: ");
  expect(findings[1]!.detail).toContain('refused the password of user "gateway"');
});

test("a user who may not ask the disks", async () => {
  world = await DcpWorld.start({ replicas: 1 });
  for (const { faults } of world.cluster.nodes) {
    faults.forbidden.add(Opcode.observeSeqno);
  }
  const findings = await check({ rollbackMitigation: true });
  const missing = findings.filter(({ ok }) => !ok).map(({ what }) => what);
  expect(missing).toEqual(["rollback mitigation"]);
  expect(findings.at(-2)!.detail).toContain("accessError");
});
