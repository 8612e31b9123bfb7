// Live changes feeds as the latency benchmark reads them: a WebSocket, or a continuous answer.

import { connect } from "node:net";
import { requestBytes } from "./raw-http.ts";

/** An open feed that hands over document ids as their rows come. */
export interface LiveFeed {
  /** Resolves when rows written from now on will come. */
  readonly live: Promise<void>;
  close(): void;
}

/** Opens the feed of `database` from now on; `onId` is called for every row. */
export function openFeed(
  kind: "websocket" | "continuous",
  port: number,
  database: string,
  onId: (id: string) => void,
): LiveFeed {
  return kind === "websocket"
    ? openWebSocket(port, database, onId)
    : openContinuous(port, database, onId);
}

function openWebSocket(port: number, database: string, onId: (id: string) => void): LiveFeed {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/${database}/_changes?feed=websocket`);
  socket.binaryType = "arraybuffer";
  const live = new Promise<void>((resolve, reject) => {
    socket.onopen = () => socket.send(JSON.stringify({ since: "now" }));
    socket.onerror = () => reject(new Error("the WebSocket failed"));
    socket.onclose = (event) => reject(new Error(`the WebSocket was closed: ${event.reason}`));
    socket.onmessage = ({ data }) => {
      if (typeof data !== "string" || data.length === 0) return;
      const rows = JSON.parse(data) as { id: string }[];
      if (rows.length === 0) resolve();
      for (const row of rows) onId(row.id);
    };
  });
  return { live, close: () => socket.close() };
}

function openContinuous(port: number, database: string, onId: (id: string) => void): LiveFeed {
  const socket = connect(port, "127.0.0.1");
  let text = "";
  let closing = false;
  const live = new Promise<void>((resolve, reject) => {
    socket.on("error", reject);
    socket.on("close", () => {
      if (!closing) reject(new Error("the continuous feed was closed"));
    });
    socket.on("connect", () => {
      const query = "feed=continuous&since=now&heartbeat=1000";
      socket.write(requestBytes("GET", `/${database}/_changes?${query}`));
    });
    // The peer sends its head with the first byte, a heartbeat unless something was written.
    socket.on("data", (bytes: Buffer) => {
      resolve();
      text += bytes.toString("latin1");
      const lines = text.split("\n");
      text = lines.pop() ?? "";
      for (const line of lines) {
        const id = line.startsWith("{") ? /"id":"([^"]*)"/.exec(line)?.[1] : undefined;
        if (id !== undefined) onId(id);
      }
    });
  });
  return {
    live,
    close() {
      closing = true;
      socket.destroy();
    },
  };
}
