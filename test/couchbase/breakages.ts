// What is broken on purpose in the Couchbase bucket and in imports, for `npm run test:breakages`.

import type { Breakage } from "../breakages/breakage.ts";

const MITIGATION = "test/couchbase/mitigation.test.ts";
const STREAM_ENDS = "test/couchbase/stream-ends.test.ts";
const FILTER = "test/couchbase/import-filter.test.ts";
const RECORDED = "test/loopback/recorded.test.ts";

/** Broken in the Couchbase bucket, in imports, and in the loopback that tests them. */
export const couchbaseBreakages: readonly Breakage[] = [
  {
    invariant: "rollback mitigation",
    what: "the disk of one copy is enough",
    edits: [
      {
        file: "src/bucket/couchbase/dcp/persistence.ts",
        find: "Math.min(...watch.persisted.values())",
        replace: "Math.max(...watch.persisted.values())",
      },
    ],
    test: MITIGATION,
    fails: "when the disks of the active node and of the replica have it",
  },
  {
    invariant: "rollback mitigation",
    what: "what was held is kept when its stream breaks off",
    edits: [
      {
        file: "src/bucket/couchbase/dcp/feed.ts",
        find: "if (this.#held !== undefined) stream.rewind(this.#drop(stream.vb));",
        replace: "",
      },
    ],
    test: MITIGATION,
    fails: "a failover that loses a tail which was on no disk never reached the consumer",
  },
  {
    invariant: "rollback mitigation",
    what: "a feed is over while something is held",
    edits: [
      {
        file: "src/bucket/couchbase/dcp/feed.ts",
        find: "if (this.#held !== undefined && this.#held.count > 0) return false;",
        replace: "",
      },
    ],
    test: MITIGATION,
    fails: "the end that was asked for comes after what is held",
  },
  {
    invariant: "rollback mitigation",
    what: "another branch on the active node is not noticed",
    edits: [
      {
        file: "src/bucket/couchbase/dcp/persistence.ts",
        find: "this.#events.onBranchLeft(vb);",
        replace: "{ }",
      },
    ],
    test: MITIGATION,
    fails: "a failover after a stream's end takes back what was held",
  },
  {
    invariant: "feed",
    what: "what lies beyond the end asked for is told, where a server sends it",
    edits: [
      {
        file: "src/bucket/couchbase/dcp/stream.ts",
        find: "return until !== undefined && readSeq(frame.extras, 0, this.vb) > until;",
        replace: "return false;",
      },
    ],
    test: STREAM_ENDS,
    fails: "a stream with an end is over there",
  },
  {
    invariant: "feed",
    what: "streams that end are not asked for again",
    edits: [
      {
        file: "src/bucket/couchbase/dcp/node-consumer.ts",
        find: 'if (stream.state === "wanting") this.#events.onOrphans([stream], true);\n  }',
        replace: "}",
      },
    ],
    test: STREAM_ENDS,
    fails: "stateChanged: the vbucket is not active for a moment",
  },
  {
    invariant: "import",
    what: "the filter is asked for documents that are here, too",
    edits: [
      {
        file: "src/documents/import.ts",
        find: "sync === undefined && !(await isWanted(",
        replace: "!(await isWanted(",
      },
    ],
    test: FILTER,
    fails: "a document that is here stays here",
  },
  {
    invariant: "import",
    what: "another filter is compiled, but not put in place",
    edits: [{ file: "src/gateway/user-functions.ts", find: "    filter.take();\n", replace: "" }],
    test: FILTER,
    fails: "another filter and a resync bring what the first one left out",
  },
  {
    invariant: "import",
    what: "user attributes are not read with the document",
    edits: [
      {
        file: "src/bucket/couchbase/documents/lookup.ts",
        find: "look.names.length === 0",
        replace: "look.names.length >= 0",
      },
    ],
    test: FILTER,
    fails: "the filter sees user attributes",
  },
  {
    invariant: "import",
    what: "a change of attributes alone is a new revision",
    edits: [
      {
        file: "src/documents/import.ts",
        find: "if (sync !== undefined && unchanged(",
        replace: "if (sync !== undefined && item.deleted && unchanged(",
      },
    ],
    test: "test/couchbase/import.test.ts",
    fails: "the program's attributes survive import, saves, conflicts and resync",
  },
  {
    invariant: "key-value",
    what: "an answer of a node that has the vbucket no more is taken for the document's",
    edits: [
      {
        file: "src/bucket/couchbase/kv/pipelined-client.ts",
        find: "if (answer.status === Status.notMyVbucket) {",
        replace: "if (answer.status < 0) {",
      },
    ],
    test: "test/couchbase/rebalance.test.ts",
    fails: "saves, reads, imports and feeds go on while vbuckets move",
  },
  {
    invariant: "loopback",
    what: "later snapshots begin where the one before ended",
    edits: [
      {
        file: "test/loopback/dcp-producer.ts",
        find: "(firstSeq ?? marker.end)",
        replace: "marker.start",
      },
    ],
    test: RECORDED,
    fails: "gaps where prepares of durable writes were",
  },
];
