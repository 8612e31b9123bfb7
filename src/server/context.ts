// What every route of a listener shares, and what it knows of the request it answers.

import type { Context } from "hono";
import type { Login } from "../access/login/logins.ts";
import type { Log } from "../base/log.ts";
import type { Config } from "../config/schema.ts";
import type { Actor } from "../documents/types.ts";
import type { Database, Gateway } from "../gateway/types.ts";
import type { Connection } from "../runtime/http.ts";
import type { Random } from "../runtime/random.ts";
import type { Time } from "../runtime/time.ts";
import type { Authentication } from "./auth/authentication.ts";
import type { Bodies, Body } from "./bodies.ts";
import type { OpenFeeds } from "./changes/open-feeds.ts";
import type { HeldAnswers } from "./held-answers.ts";
import type { Metrics } from "./metrics.ts";

/** The listeners that speak the document API. */
export type Side = "public" | "admin";

/** What the routes of one process share. */
export interface ServerContext {
  readonly gateway: Gateway;
  readonly config: Config;
  readonly log: Log;
  readonly time: Time;
  readonly random: Random;
  /** Tidegate's version, for `GET /`. */
  readonly version: string;
  readonly metrics: Metrics;
  readonly feeds: OpenFeeds;
  readonly auth: Authentication;
  readonly bodies: Bodies;
  readonly answers: HeldAnswers;
}

/** Hono's types for our routes. */
export interface RouteEnv {
  Bindings: { connection: Connection };
  Variables: {
    server: ServerContext;
    side: Side;
    database: Database;
    actor: Actor;
    /** Of the public listener, when the request has credentials. */
    login?: Login;
    /** Of the admin listener, when it asks for credentials: who acts. */
    administrator?: string;
    /** The request's body, once somebody reads it. */
    body?: Body;
    /** A `Set-Cookie` that the answer gets. */
    cookie?: string;
  };
}

/** One request, as a handler sees it. */
export type Call = Context<RouteEnv>;

/** Answers one request. May throw a `TidegateError`, which becomes the answer. */
export type Handler = (call: Call) => Response | Promise<Response>;
