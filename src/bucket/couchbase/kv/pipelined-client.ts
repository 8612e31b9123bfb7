// Single requests by vbucket over the pipelined connections, asked again where that is safe.
//
// What is done about an answer:
//   success and verdicts on the key   given to the caller
//   not-my-vbucket                    the map in the answer is taken, then asked again
//   temporary failure, busy, locked   asked again after a wait
//   never sent (node gone, full)      asked again after a wait
//   no answer (connection broke)      asked again only when `repeatable`; otherwise `ambiguous`

import { isTidegateError, TidegateError } from "../../../base/errors.ts";
import type { Log } from "../../../base/log.ts";
import type { Random } from "../../../runtime/random.ts";
import { sleep, type Time } from "../../../runtime/time.ts";
import type { Topology } from "../cluster/topology.ts";
import type { KvConnection } from "../connection/kv-connection.ts";
import type { Frame, FrameParts } from "../wire/frame.ts";
import { nameOf, Status } from "../wire/opcodes.ts";
import type { NodePool } from "./node-pool.ts";
import { mayPass, retryDelayMs } from "./retry.ts";

/** What the client is made of. */
export interface PipelinedClientParts {
  readonly topology: Topology;
  readonly pool: NodePool;
  readonly time: Time;
  readonly random: Random;
  readonly log: Log;
  /** How long one operation may take, repetitions included. */
  readonly operationTimeoutMs: number;
}

/** Counts of what happened, for metrics. */
export interface PipelinedClientStats {
  requests: number;
  retries: number;
  movedVbuckets: number;
  ambiguous: number;
}

/** Requests by vbucket. */
export class PipelinedClient {
  readonly stats: PipelinedClientStats = {
    requests: 0,
    retries: 0,
    movedVbuckets: 0,
    ambiguous: 0,
  };
  readonly #parts: PipelinedClientParts;

  constructor(parts: PipelinedClientParts) {
    this.#parts = parts;
  }

  /**
   * Sends a request to the node of its vbucket and resolves with an answer that is the server's
   * verdict. Throws `unavailable` when the time is up and nothing was changed, `ambiguous` when a
   * request that may not be repeated has no answer.
   */
  async send(vb: number, parts: FrameParts, repeatable: boolean): Promise<Frame> {
    const [answer] = await this.#deliver(vb, parts, repeatable, () => false);
    return answer as Frame;
  }

  /**
   * As `send` for requests answered by several frames: `more` says whether another one follows.
   * Not repeated when the answer broke off: what was sent of it may not come again.
   */
  sendForMany(
    vb: number,
    parts: FrameParts,
    more: (frame: Frame) => boolean,
  ): Promise<readonly Frame[]> {
    return this.#deliver(vb, parts, false, more);
  }

  async #deliver(
    vb: number,
    parts: FrameParts,
    repeatable: boolean,
    more: (frame: Frame) => boolean,
  ): Promise<readonly Frame[]> {
    const { topology, pool, time, random, operationTimeoutMs } = this.#parts;
    const deadlineMs = time.monotonicMs() + operationTimeoutMs;
    let why = "";
    for (let attempt = 0; ; attempt++) {
      if (attempt > 0) {
        this.stats.retries++;
        await sleep(time, retryDelayMs(attempt, random));
        if (time.monotonicMs() >= deadlineMs) throw timeIsUp(operationTimeoutMs, why);
      }
      const node = topology.nodeOf(vb);
      if (node === undefined) {
        why = `vbucket ${vb} has no node`;
        continue;
      }
      try {
        const connection = await pool.connection(node);
        this.stats.requests++;
        const frames = await request(connection, { ...parts, vbOrStatus: vb }, more);
        const answer = frames[frames.length - 1] as Frame;
        if (answer.status === Status.notMyVbucket) {
          this.stats.movedVbuckets++;
          topology.learnFrom(answer, node.host);
          why = `vbucket ${vb} is moving`;
        } else if (mayPass(answer.status)) {
          why = `the node answered ${nameOf(Status, answer.status)}`;
        } else {
          return frames;
        }
      } catch (error) {
        why = this.#settleFailure(error, repeatable);
        await this.#lookForNodes();
      }
    }
  }

  #settleFailure(error: unknown, repeatable: boolean): string {
    const passing = isTidegateError(error, "unavailable") || isTidegateError(error, "ambiguous");
    if (!passing) throw error;
    if (error.code === "ambiguous" && !repeatable) {
      this.stats.ambiguous++;
      throw error;
    }
    return error.message;
  }

  /** A node did not answer: perhaps the map is old. That no node knows better is no failure here. */
  async #lookForNodes(): Promise<void> {
    try {
      await this.#parts.topology.refresh();
    } catch (error) {
      this.#parts.log.debug({ error: String(error) }, "no node has a cluster map now");
    }
  }
}

/** One request and all the frames that answer it. */
function request(
  connection: KvConnection,
  parts: FrameParts,
  more: (frame: Frame) => boolean,
): Promise<readonly Frame[]> {
  return new Promise((resolve, reject) => {
    const frames: Frame[] = [];
    const answered = (frame: Frame) => {
      frames.push(frame);
      if (more(frame)) return "more";
      resolve(frames);
      return "done";
    };
    connection.call(parts, answered, reject);
  });
}

function timeIsUp(timeoutMs: number, why: string): TidegateError {
  return new TidegateError(
    "unavailable",
    `Couchbase did not carry out an operation within ${timeoutMs} ms; last: ${why}.`,
  );
}
