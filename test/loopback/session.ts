// One connection at a loopback node: the login, the dispatch of requests, the answers.

import type { Socket } from "node:net";
import {
  SCRAM_MECHANISMS,
  type ScramMechanism,
} from "../../src/bucket/couchbase/connection/scram.ts";
import { encodeFrame, Frame, type FrameParts } from "../../src/bucket/couchbase/wire/frame.ts";
import {
  DataType,
  Feature,
  Magic,
  Opcode,
  Status,
} from "../../src/bucket/couchbase/wire/opcodes.ts";
import { FrameSplitter } from "../../src/bucket/couchbase/wire/splitter.ts";
import { splitValue } from "../../src/bucket/couchbase/wire/values.ts";
import { COLLECTIONS } from "./cluster.ts";
import { activeSeqnos, DcpProducer } from "./dcp-producer.ts";
import { carryOut, isKeyValue } from "./key-value.ts";
import type { LoopbackNode } from "./node.ts";
import { isRangeScan, itemCounts, RangeScans } from "./range-scans.ts";
import { ScramServer } from "./scram-server.ts";

/** Opcodes that only a test peer needs to know. */
const ERROR_MAP = 0xfe;

/** What a handler answers with, one frame or several; undefined: no answer. */
export type Answer = AnswerFrame | readonly AnswerFrame[] | undefined;
type AnswerFrame = Omit<FrameParts, "opcode" | "opaque" | "magic">;

const GRANTED: ReadonlySet<number> = new Set(
  Object.values(Feature).filter((f) => f !== Feature.tls),
);

/** A connection. */
export class Session {
  readonly node: LoopbackNode;
  readonly #socket: Socket;
  readonly #splitter = new FrameSplitter();
  readonly #features = new Set<number>();
  readonly #closed: () => void;
  #scram: ScramServer | undefined;
  #loggedIn = false;
  /** The connection was cut in the middle of a frame. */
  #cut = false;
  #bucketSelected = false;
  #producer: DcpProducer | undefined;
  readonly #scans = new RangeScans();
  /** Requests of one connection are carried out in order. */
  #turn: Promise<void> = Promise.resolve();
  /** Answers on their way, in their order. */
  #sent: Promise<void> = Promise.resolve();

  constructor(node: LoopbackNode, socket: Socket, closed: () => void) {
    this.node = node;
    this.#socket = socket;
    this.#closed = closed;
    socket.on("data", (chunk: Buffer) => {
      for (const frame of this.#splitter.push(chunk)) this.#take(frame);
    });
    socket.on("error", () => socket.destroy());
    socket.on("close", () => {
      this.#producer?.close();
      this.#closed();
    });
  }

  get unacknowledgedBytes(): number {
    return this.#producer?.unacknowledgedBytes ?? 0;
  }

  destroy(): void {
    this.#socket.destroy();
  }

  endStream(vb: number, reason?: number): void {
    this.#producer?.endStream(vb, reason);
  }

  pushConfig(): void {
    if (!this.#features.has(Feature.clusterMapNotification)) return;
    const value = Buffer.from(this.node.cluster.configText(this.node.index));
    this.send({ magic: Magic.serverRequest, opcode: 0x01, dataType: 1, value });
  }

  /** Writes a frame, as far as the faults let it. Gives whether the socket takes more. */
  send(parts: FrameParts): boolean {
    return this.write(encodeFrame(parts));
  }

  /** Writes frames that are encoded already. Gives whether the socket takes more. */
  write(bytes: Buffer): boolean {
    if (this.#cut) return false;
    const { faults } = this.node;
    if (faults.cutAfterBytes < bytes.length) {
      // Nothing may follow: it would be read as the rest of the frame that was cut.
      this.#cut = true;
      this.#socket.write(bytes.subarray(0, faults.cutAfterBytes), () => this.#socket.destroy());
      faults.cutAfterBytes = Number.POSITIVE_INFINITY;
      return false;
    }
    faults.cutAfterBytes -= bytes.length;
    return this.#socket.write(bytes);
  }

  /** Resolves when the socket has room again, or is gone. */
  drained(): Promise<void> {
    if (!this.#socket.writableNeedDrain || this.#socket.destroyed) return Promise.resolve();
    return new Promise((resolve) => {
      this.#socket.once("drain", resolve);
      this.#socket.once("close", resolve);
    });
  }

  #take(frame: Frame): void {
    if (frame.isResponse) return;
    if (this.#producer?.message(frame)) return;
    this.#turn = this.#turn.then(async () => {
      const answer = await this.#answer(frame);
      if (answer !== undefined) this.#sendLater(frame, answer);
    });
  }

  /** Sends an answer when its delay is over; others are carried out meanwhile, none overtakes. */
  #sendLater(frame: Frame, answer: Exclude<Answer, undefined>): void {
    const dueMs = performance.now() + this.node.faults.delayMs;
    this.#sent = this.#sent.then(async () => {
      const ms = dueMs - performance.now();
      if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms));
      if (this.#socket.destroyed) return;
      const head = { magic: Magic.response, opcode: frame.opcode, opaque: frame.opaque };
      for (const part of Array.isArray(answer) ? answer : [answer]) {
        this.send({ ...part, ...head });
      }
      this.#producer?.answered(frame);
    });
  }

  async #answer(frame: Frame): Promise<Answer> {
    switch (frame.opcode) {
      case Opcode.hello:
        return this.#hello(frame);
      case ERROR_MAP:
        return { value: Buffer.from('{"version":2,"revision":1,"errors":{}}'), dataType: 1 };
      case Opcode.saslListMechanisms:
        return { value: Buffer.from([...SCRAM_MECHANISMS, "PLAIN"].join(" ")) };
      case Opcode.saslAuth:
        return this.#login(frame);
      case Opcode.saslStep:
        return this.#loginStep(frame);
      case Opcode.noop:
        return {};
      case Opcode.version:
        return { value: Buffer.from("loopback") };
    }
    if (!this.#loggedIn) return { vbOrStatus: Status.accessError };
    if (this.node.faults.forbidden.has(frame.opcode)) return { vbOrStatus: Status.accessError };
    if (frame.opcode === Opcode.selectBucket) return this.#select(frame);
    if (frame.opcode === Opcode.getClusterConfig) {
      const { cluster, index } = this.node;
      const text = this.#bucketSelected ? cluster.configText(index) : cluster.globalText(index);
      return { value: Buffer.from(text), dataType: 1 };
    }
    if (!this.#bucketSelected) return { vbOrStatus: Status.noBucket };
    if (frame.opcode === Opcode.collectionsGetManifest) return { value: manifest(), dataType: 1 };
    if (frame.opcode === Opcode.collectionsGetId) return collectionId(frame);
    if (frame.opcode === Opcode.observeSeqno) {
      return this.node.cluster.disks.report(this.node, frame);
    }
    if (frame.opcode === Opcode.stat) return itemCounts(this.node);
    if (isKeyValue(frame.opcode) || isRangeScan(frame.opcode)) return this.#keyValue(frame);
    return this.#dcp(frame);
  }

  #hello(frame: Frame): Answer {
    const granted: number[] = [];
    for (let at = 0; at + 1 < frame.value.length; at += 2) {
      const feature = frame.value.readUInt16BE(at);
      if (!GRANTED.has(feature)) continue;
      this.#features.add(feature);
      granted.push(feature >> 8, feature & 0xff);
    }
    return { value: Buffer.from(granted) };
  }

  #login(frame: Frame): Answer {
    const mechanism = frame.key.toString("utf8");
    const { username, password } = this.node.cluster.user;
    if (mechanism === "PLAIN") {
      this.#loggedIn = frame.value.toString("utf8") === `\0${username}\0${password}`;
      return { vbOrStatus: this.#loggedIn ? Status.success : Status.authError };
    }
    this.#scram = new ScramServer(mechanism as ScramMechanism, username, password);
    const challenge = this.#scram.challenge(frame.value.toString("utf8"));
    if (challenge === undefined) return { vbOrStatus: Status.authError };
    return { vbOrStatus: Status.authContinue, value: Buffer.from(challenge) };
  }

  #loginStep(frame: Frame): Answer {
    const outcome = this.#scram?.outcome(frame.value.toString("utf8"));
    this.#loggedIn = outcome !== undefined;
    if (outcome === undefined) return { vbOrStatus: Status.authError };
    return { value: Buffer.from(outcome) };
  }

  #select(frame: Frame): Answer {
    if (frame.key.toString("utf8") !== this.node.cluster.bucket.name) {
      return { vbOrStatus: Status.accessError };
    }
    this.#bucketSelected = true;
    return {};
  }

  async #keyValue(frame: Frame): Promise<Answer> {
    const { faults, cluster, index } = this.node;
    if (!this.node.owns(frame.vb)) {
      return {
        vbOrStatus: Status.notMyVbucket,
        value: Buffer.from(cluster.configText(index)),
        dataType: 1,
      };
    }
    if (faults.temporaryFailures > 0) {
      faults.temporaryFailures--;
      return { vbOrStatus: Status.temporaryFailure };
    }
    const answer = isRangeScan(frame.opcode)
      ? await this.#scans.carryOut(cluster.bucket, frame)
      : await carryOut(cluster.bucket, inflated(frame), this.#features);
    if (faults.lostAnswers > 0) {
      faults.lostAnswers--;
      return undefined;
    }
    return answer;
  }

  #dcp(frame: Frame): Answer | Promise<Answer> {
    if (frame.opcode === Opcode.dcpOpen) {
      this.#producer = new DcpProducer(this, frame.extras.readUInt32BE(4));
      return {};
    }
    if (frame.opcode === Opcode.getAllVbSeqnos) return activeSeqnos(this.node);
    if (this.#producer === undefined) return { vbOrStatus: Status.invalidArguments };
    return this.#producer.request(frame);
  }
}

/** A request whose value is stored as it would be sent to a peer that knows no compression. */
function inflated(frame: Frame): Frame {
  if ((frame.dataType & DataType.snappy) === 0) return frame;
  const { magic, opcode, vb, opaque, cas, framing, extras, key } = frame;
  const value = splitValue(frame.value, DataType.snappy).body;
  const dataType = frame.dataType & ~DataType.snappy;
  const head = { magic, opcode, vbOrStatus: vb, opaque, cas, dataType };
  return new Frame(encodeFrame({ ...head, framing, extras, key, value }));
}

function manifest(): Buffer {
  const collections = Object.entries(COLLECTIONS).map(([name, uid]) => {
    return { name, uid: uid.toString(16) };
  });
  return Buffer.from(
    JSON.stringify({ uid: "1", scopes: [{ name: "_default", uid: "0", collections }] }),
  );
}

function collectionId(frame: Frame): Answer {
  const path = (frame.value.length > 0 ? frame.value : frame.key).toString("utf8");
  const name = path.split(".").at(-1) ?? "";
  const id = COLLECTIONS[name as keyof typeof COLLECTIONS];
  if (id === undefined) return { vbOrStatus: Status.unknownCollection };
  const extras = Buffer.alloc(12);
  extras.writeBigUInt64BE(1n, 0);
  extras.writeUInt32BE(id, 8);
  return { extras };
}
