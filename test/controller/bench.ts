// A controller over a real bucket, index and document store, with virtual time; any of its ports can
// be made to fail.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLog } from "../../src/base/log.ts";
import {
  type EmbeddedBucket,
  openEmbeddedBucket,
} from "../../src/bucket/embedded/embedded-bucket.ts";
import { openLookupMap } from "../../src/clock/lookup-map.ts";
import {
  type Controller,
  type ControllerOptions,
  openController,
} from "../../src/controller/controller.ts";
import { Problems } from "../../src/controller/problems.ts";
import { createHealer } from "../../src/documents/healer.ts";
import { createDocumentStore, type DocumentStoreHandle } from "../../src/documents/store.ts";
import { type Index, openIndex } from "../../src/index/open.ts";
import { VirtualRandom } from "../simulation/virtual-random.ts";
import { VirtualTime } from "../simulation/virtual-time.ts";
import { ADMIN } from "../simulation/world.ts";

export const VBUCKETS = 8;

/** Changes the options of a controller before it is opened. */
export type Adjust = (options: ControllerOptions) => Partial<ControllerOptions>;

/** One node: everything that a gateway puts together for a database, by hand. */
export interface TestNode {
  readonly bucket: EmbeddedBucket;
  readonly index: Index;
  readonly documents: DocumentStoreHandle;
  readonly controller: Controller;
  readonly problems: Problems;
  /** Whether the index write of a save gets lost. */
  dropping: boolean;
}

/** A directory with nodes on it. */
export class ControllerBench {
  readonly time = new VirtualTime();
  readonly random = new VirtualRandom(7);
  readonly directory = mkdtempSync(join(tmpdir(), "tidegate-controller-"));
  #instances = 0;

  /** Opens a node as another process would. */
  async node(adjust: Adjust = () => ({})): Promise<TestNode> {
    const { time, random, directory } = this;
    const log = silentLog;
    const instance = { id: `node${++this.#instances}`, host: "host", pid: this.#instances };
    const opening = (async () => {
      const bucket = await openEmbeddedBucket({
        directory,
        name: "test",
        time,
        random,
        log,
        vbuckets: VBUCKETS,
        keepHistory: true,
        inlineCheckpoints: true,
      });
      const collection = bucket.index;
      const vbuckets = bucket.vbuckets;
      const index = await openIndex({ collection, vbuckets, partitions: 4, time, log });
      const node = { dropping: false };
      const documents = createDocumentStore({
        bucket,
        settings: {
          limits: {
            documentBytes: 1e6,
            attachmentBytes: 1e6,
            revisionDepth: 100,
            documentIdBytes: 200,
          },
        },
        onSaved: (mutation) => {
          if (!node.dropping) void index.write(mutation);
        },
        time,
        random,
        log,
      });
      const problems = new Problems(time, log);
      const options: ControllerOptions = {
        bucket,
        openLookup: (branches) => openLookupMap({ collection, vbuckets, time, log, branches }),
        journal: index,
        healer: createHealer({ context: documents.context, writer: index }),
        time,
        log,
        problems,
        instance,
        settings: { partitions: 4 },
      };
      const controller = await openController({ ...options, ...adjust(options) });
      return Object.assign(node, { bucket, index, documents, controller, problems });
    })();
    return time.run(opening);
  }

  run<T>(promise: Promise<T>): Promise<T> {
    return this.time.run(promise);
  }

  async save(node: TestNode, id: string, channels: string[] = ["A"]): Promise<void> {
    const newest = (await this.run(node.documents.leaves([id])))[0]?.[0];
    const parent = newest && !newest.deleted ? { _rev: newest.rev } : {};
    await this.run(node.documents.put(ADMIN, id, { channels, ...parent }));
  }

  /** Waits until everything saved is stable at `node`. */
  async settle(node: TestNode): Promise<void> {
    const high = await this.run(node.bucket.feed.highSeqs());
    await this.run(node.controller.reached(high));
  }

  /** The documents that the index has in `channel`, as far as the stable clock reaches. */
  async indexed(node: TestNode, channel: string): Promise<string[]> {
    const { clock } = node.controller.head();
    const ids: string[] = [];
    const reading = async () => {
      for await (const batch of node.index.read(channel, new Float64Array(VBUCKETS), clock)) {
        for (const { docId } of batch) ids.push(docId);
      }
    };
    await this.run(reading());
    return ids.toSorted();
  }

  async close(node: TestNode): Promise<void> {
    await this.run(node.documents.idle());
    await this.run(node.index.idle());
    await this.run(node.controller.close());
    await this.run(node.index.close());
    await this.run(node.bucket.close());
  }

  /** Ends a node as a crash would. */
  async crash(node: TestNode): Promise<void> {
    await this.run(node.controller.abandon());
    await this.run(node.index.close());
    await this.run(node.bucket.close());
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Runs `task` with a bench whose directory is removed afterwards. */
export async function withControllers(
  task: (bench: ControllerBench) => Promise<void>,
): Promise<void> {
  const bench = new ControllerBench();
  try {
    await task(bench);
  } finally {
    bench.remove();
  }
}
