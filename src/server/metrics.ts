// Metrics in Prometheus's text form, in a registry of our own.

import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { Gateway } from "../gateway/types.ts";

/** Upper bounds of the latency histogram, in seconds. */
const LATENCY_BOUNDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10];

/** Counts what the listeners do, and prints it. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #requests: Counter<"route" | "method" | "status">;
  readonly #latency: Histogram<"route" | "method">;

  /** @param version Tidegate's version, shown as a label of `tidegate_info` */
  constructor(version: string) {
    const registers = [this.#registry];
    new Gauge({
      name: "tidegate_info",
      help: "Always 1; the label says which version runs.",
      labelNames: ["version"],
      registers,
    }).set({ version }, 1);
    this.#requests = new Counter({
      name: "tidegate_http_requests_total",
      help: "Requests answered, by route, method and status.",
      labelNames: ["route", "method", "status"],
      registers,
    });
    this.#latency = new Histogram({
      name: "tidegate_http_request_seconds",
      help: "Time from a request's head to its answer's head.",
      labelNames: ["route", "method"],
      buckets: LATENCY_BOUNDS,
      registers,
    });
  }

  /** Adds the numbers of the databases of `gateway`, read when somebody asks for them. */
  watch(gateway: Gateway): void {
    const registers = [this.#registry];
    const gauge = (name: string, help: string, collect: (gauge: Gauge<string>) => void) => {
      new Gauge({
        name,
        help,
        labelNames: name === "tidegate_bucket" ? ["database", "stat"] : ["database"],
        registers,
        collect() {
          this.reset();
          collect(this);
        },
      });
    };
    const each = (read: (name: string) => number | undefined) => (gauge: Gauge<string>) => {
      for (const name of gateway.names()) {
        const value = read(name);
        if (value !== undefined) gauge.set({ database: name }, value);
      }
    };
    gauge(
      "tidegate_open_feeds",
      "Changes feeds open now.",
      each((name) => gateway.database(name)?.changes.openFeeds),
    );
    gauge(
      "tidegate_stable_tick",
      "The newest tick: milliseconds since the Unix epoch.",
      each((name) => gateway.database(name)?.stable.head().tick),
    );
    gauge(
      "tidegate_problems",
      "Background parts that fail now; /health names them.",
      each((name) => gateway.database(name)?.health().length),
    );
    gauge("tidegate_bucket", "Counters of the bucket.", (gauge) => {
      for (const database of gateway.names()) {
        const stats = gateway.database(database)?.bucket.stats() ?? {};
        for (const [stat, value] of Object.entries(stats)) gauge.set({ database, stat }, value);
      }
    });
  }

  /** One request was answered. */
  answered(route: string, method: string, status: number, milliseconds: number): void {
    this.#requests.inc({ route, method, status });
    this.#latency.observe({ route, method }, milliseconds / 1000);
  }

  /** Everything, as Prometheus reads it. */
  async text(): Promise<{ contentType: string; text: string }> {
    return { contentType: this.#registry.contentType, text: await this.#registry.metrics() };
  }
}
