// Opens connections to data nodes: socket, TLS, login, bucket. One place for how a node is reached.

import { connect as connectPlain, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { TidegateError } from "../../../base/errors.ts";
import type { Random } from "../../../runtime/random.ts";
import type { Time } from "../../../runtime/time.ts";
import { type ClusterNode, nodeName } from "../cluster/cluster-map.ts";
import { handshake, type Login } from "./handshake.ts";
import { KvConnection, type KvConnectionEvents } from "./kv-connection.ts";

/** How nodes are reached. */
export interface ConnectorSettings {
  readonly login: Login;
  /** Undefined: no encryption. `ca`: PEM texts of the authorities trusted beside the system's. */
  readonly tls?: { readonly ca?: readonly string[]; readonly cert?: string; readonly key?: string };
  readonly connectTimeoutMs: number;
  readonly requestTimeoutMs: number;
  /** Names the connections in the server's logs. */
  readonly agent: string;
}

/** A connection that is logged in, with the features that the server granted. */
export interface NodeConnection {
  readonly node: ClusterNode;
  readonly connection: KvConnection;
  readonly features: ReadonlySet<number>;
}

/** Opens connections to data nodes. */
export class Connector {
  readonly settings: ConnectorSettings;
  readonly #time: Time;
  readonly #random: Random;

  constructor(settings: ConnectorSettings, time: Time, random: Random) {
    this.settings = settings;
    this.#time = time;
    this.#random = random;
  }

  /**
   * Connects to `node`, logs in, selects the bucket.
   *
   * Throws `unavailable` when the node can't be reached in time, and what `handshake` throws.
   */
  async open(
    node: ClusterNode,
    features: readonly number[],
    events: KvConnectionEvents,
  ): Promise<NodeConnection> {
    const socket = await this.#socket(node);
    const connection = new KvConnection(
      socket,
      { time: this.#time, timeoutMs: this.settings.requestTimeoutMs },
      events,
    );
    try {
      const granted = await handshake(connection, {
        login: this.settings.login,
        tls: this.settings.tls !== undefined,
        features,
        agent: this.settings.agent,
        random: this.#random,
      });
      return { node, connection, features: granted };
    } catch (error) {
      connection.close("The login failed.");
      throw error;
    }
  }

  #socket(node: ClusterNode): Promise<Socket> {
    const { tls, connectTimeoutMs } = this.settings;
    return new Promise((resolve, reject) => {
      const fail = (why: string, cause?: unknown) => {
        cancel();
        socket.destroy();
        reject(
          new TidegateError("unavailable", `Couchbase node ${nodeName(node)}: ${why}.`, { cause }),
        );
      };
      const done = () => {
        cancel();
        socket.off("error", onError);
        resolve(socket);
      };
      const onError = (error: Error) => fail(error.message, error);
      const socket: Socket =
        tls === undefined
          ? connectPlain({ host: node.host, port: node.port, noDelay: true }, done)
          : connectTls(
              {
                host: node.host,
                port: node.port,
                servername: /^[\d.:]+$/.test(node.host) ? "" : node.host,
                ...(tls.ca === undefined ? {} : { ca: [...tls.ca] }),
                ...(tls.cert === undefined ? {} : { cert: tls.cert }),
                ...(tls.key === undefined ? {} : { key: tls.key }),
              },
              done,
            );
      const cancel = this.#time.after(connectTimeoutMs, () =>
        fail(`no connection within ${connectTimeoutMs} ms`),
      );
      socket.once("error", onError);
    });
  }
}
