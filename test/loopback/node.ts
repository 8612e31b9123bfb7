// One data node on loopback: a TCP server, one session for each connection.

import { readFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { createServer as createTlsServer } from "node:tls";
import { type LoopbackCluster, portOf } from "./cluster.ts";
import { Faults } from "./faults.ts";
import { Session } from "./session.ts";

const certificates = join(import.meta.dirname, "../vectors/tls");
/** The certificate of every loopback node, which is its own authority. */
export const CA_FILE = join(certificates, "node.pem");

/** A listening node. */
export class LoopbackNode {
  readonly cluster: LoopbackCluster;
  readonly index: number;
  readonly faults = new Faults();
  /** Connections that were refused. */
  refused = 0;
  readonly #server: Server;
  readonly #tlsServer: Server;
  readonly #sessions = new Set<Session>();

  private constructor(cluster: LoopbackCluster, index: number, server: Server, tls: Server) {
    this.cluster = cluster;
    this.index = index;
    this.#server = server;
    this.#tlsServer = tls;
    server.on("connection", (socket) => this.#accept(socket));
    tls.on("secureConnection", (socket: Socket) => this.#accept(socket));
    // A client that does not trust the certificate ends the handshake: its affair.
    tls.on("tlsClientError", (_error, socket: Socket) => socket.destroy());
  }

  static async listen(cluster: LoopbackCluster, index: number): Promise<LoopbackNode> {
    const server = createServer({ noDelay: true });
    const tls = createTlsServer({
      cert: readFileSync(CA_FILE),
      key: readFileSync(join(certificates, "node.key")),
    });
    const node = new LoopbackNode(cluster, index, server, tls);
    for (const one of [server, tls]) {
      await new Promise<void>((resolve, reject) => {
        one.once("error", reject);
        one.listen(0, "127.0.0.1", resolve);
      });
    }
    return node;
  }

  get port(): number {
    return portOf(this.#server.address());
  }

  /** The port for encrypted connections. */
  get tlsPort(): number {
    return portOf(this.#tlsServer.address());
  }

  /** Connections open now. */
  get connections(): number {
    return this.#sessions.size;
  }

  /** Whether this node is active for `vb`. */
  owns(vb: number): boolean {
    return this.cluster.active[vb] === this.index;
  }

  /** Ends every connection as a crash does. */
  dropConnections(): void {
    for (const session of this.#sessions) session.destroy();
  }

  /** Ends the streams of vbuckets that this node is not active for any more. */
  vbucketsMoved(vbs: readonly number[]): void {
    for (const session of this.#sessions) {
      for (const vb of vbs) if (!this.owns(vb)) session.endStream(vb);
    }
  }

  /** Ends the streams of `vb` for `reason`, as a server does that stays active for it. */
  endStreams(vb: number, reason: number): void {
    for (const session of this.#sessions) session.endStream(vb, reason);
  }

  /** Sends the new map to the connections that asked for it. */
  pushConfig(): void {
    for (const session of this.#sessions) session.pushConfig();
  }

  /** Bytes that the DCP connections of this node have sent without an acknowledgement. */
  get unacknowledgedBytes(): number {
    let bytes = 0;
    for (const session of this.#sessions) bytes += session.unacknowledgedBytes;
    return bytes;
  }

  async stop(): Promise<void> {
    this.dropConnections();
    for (const server of [this.#server, this.#tlsServer]) {
      await new Promise((resolve) => server.close(resolve));
    }
  }

  #accept(socket: Socket): void {
    if (this.faults.refuseConnections) {
      this.refused++;
      socket.destroy();
      return;
    }
    const session = new Session(this, socket, () => this.#sessions.delete(session));
    this.#sessions.add(session);
  }
}
