// Every setting of a gateway: its shape, its limits, its default. Where settings come from (file,
// environment, command line) is `load.ts`.

import { isIP } from "node:net";
import { z } from "zod";
import { parseAddress } from "./address.ts";
import { oidcSchema, problemOfPrefixes, tokensSchema } from "./token-schema.ts";

const MIB = 1024 * 1024;

/** A database's name: CouchDB's rule without the slash, since it is a directory's name, too. */
const DATABASE_NAME = /^[a-z][a-z0-9_$()+-]{0,127}$/;

/** In words, for messages. */
const DATABASE_NAME_RULE = "a name: a lower-case letter, then up to 127 of a-z 0-9 _ $ ( ) + -";

const count = (least: number, most: number) => z.int().min(least).max(most);

/** What requests without credentials may do. */
const guest = z.union(
  [z.boolean(), z.strictObject({ channels: z.array(z.string().min(1).max(250)).max(10_000) })],
  { error: 'true, false, or { "channels": ["..."] }' },
);

const databaseShape = {
  /** JavaScript of the sync function; without it `channel(doc.channels)`. */
  syncFunction: z.string().min(1).optional(),
  /**
   * Whether requests without credentials are served on the public listener: `true`, and they see
   * every document; or the channels that they see. They write what the sync function lets them.
   */
  guest: guest.default(false),
  sessions: z
    .strictObject({
      ttlSeconds: count(60, 366 * 86_400).default(86_400),
      sameSite: z.enum(["lax", "strict", "none"]).default("lax"),
      /** Whether the cookie is for TLS only; `auto`: when the login came by TLS. */
      secure: z.enum(["auto", "always", "never"]).default("auto"),
    })
    .prefault({}),
  /** Who may vouch for users by bearer tokens. */
  tokens: tokensSchema.default([]),
  /** OpenID providers that browsers log in at. */
  oidc: oidcSchema.prefault({}),
  import: z
    .strictObject({
      /** JavaScript of a function `doc => boolean`; without it every document is imported. */
      filter: z.string().min(1).optional(),
    })
    .optional(),
  changes: z.strictObject({ mode: z.enum(["stable", "eager"]).default("stable") }).prefault({}),
  index: z
    .strictObject({
      writer: z.enum(["frontend", "feed"]).default("frontend"),
      partitions: count(1, 1024)
        .refine((n) => (n & (n - 1)) === 0, "a power of two, such as 16")
        .default(16),
      shape: z.enum(["computed", "vbucket", "partition"]).default("computed"),
    })
    .prefault({}),
  limits: z
    .strictObject({
      documentBytes: count(1024, 20 * MIB).default(20 * MIB - 64 * 1024),
      attachmentBytes: count(1024, 20 * MIB).default(20 * MIB - 64 * 1024),
      revisionDepth: count(20, 100_000).default(1000),
      documentIdBytes: count(16, 240).default(240),
    })
    .prefault({}),
};

/** The settings of one database, as `PUT /{db}/_config` and `databases` in the file take them. */
export const databaseSchema = z.strictObject(databaseShape).superRefine(checkPrefixes);

/** As in the file: there the sync function may also be the name of a file beside it. */
const databaseInFileSchema = z
  .strictObject({ ...databaseShape, syncFunctionFile: z.string().min(1).optional() })
  .superRefine(checkPrefixes);

function checkPrefixes(
  settings: Parameters<typeof problemOfPrefixes>[0],
  context: z.core.$RefinementCtx,
): void {
  const message = problemOfPrefixes(settings);
  if (message !== undefined) context.addIssue({ code: "custom", message });
}

const collectionName = z
  .string()
  .regex(/^[A-Za-z0-9_%-]+\.[A-Za-z0-9_%-]+$/, "SCOPE.COLLECTION, such as _default.tidegate_index");

const address = z.string().superRefine((text, context) => {
  const parsed = parseAddress(text);
  if ("problem" in parsed) context.addIssue({ code: "custom", message: parsed.problem });
});

/** An origin as browsers send it, `localhost` for any page served by this machine, or `*`. */
const origin = z
  .string()
  .regex(
    /^(\*|localhost|https?:\/\/[^/*\s]+)$/,
    "an origin such as https://example.org, localhost, or *",
  );

/** How Couchbase Server is used; only looked at when `bucket` names one. */
const couchbaseSchema = z.strictObject({
  username: z.string().min(1).optional(),
  password: z.string().optional(),
  /** PEM certificates of authorities to trust beside the system's. */
  caFile: z.string().min(1).optional(),
  /** `scope.collection` of each kind of item; made at the first start where the server lets us. */
  collections: z
    .strictObject({
      documents: collectionName.default("_default._default"),
      metadata: collectionName.default("_default.tidegate_metadata"),
      index: collectionName.default("_default.tidegate_index"),
    })
    .prefault({}),
  /** How safe a save is before the client is answered. */
  durability: z
    .enum(["none", "majority", "majorityPersistActive", "persistMajority"])
    .default("majority"),
  /** The index's own traffic: over our pipelined connections, or by the SDK (to compare). */
  indexTraffic: z.enum(["pipelined", "sdk"]).default("pipelined"),
  /** Bytes that each node may send ahead on the mutation feed. */
  feedBufferBytes: count(64 * 1024, 1024 * MIB).default(10 * MIB),
  /** Whether mutations wait on the feed until the disks of all their copies have them. */
  rollbackMitigation: z.boolean().default(false),
  connectTimeoutMs: count(100, 600_000).default(5_000),
  operationTimeoutMs: count(100, 600_000).default(10_000),
});

const administrator = z.strictObject({
  /** What `tidegate hash-password` prints. */
  passwordHash: z.string().startsWith("scrypt$", "what tidegate hash-password prints").optional(),
  /** A bearer token; also taken as a password. */
  token: z.string().min(20).max(1000).optional(),
});

/** Every setting of a gateway. */
export const configSchema = z.strictObject({
  /** The directory of the databases. */
  data: z.string().min(1).default("./tidegate-data"),
  /** Where documents live: `embedded`, in the data directory, or a bucket of Couchbase Server. */
  bucket: z
    .string()
    .regex(
      /^(embedded|couchbases?:\/\/.+)$/,
      "embedded, or couchbase://HOST[:PORT][,HOST...]/BUCKET, or couchbases://... for TLS",
    )
    .default("embedded"),
  couchbase: couchbaseSchema.prefault({}),
  /** HOST:PORT of the listener for clients. */
  public: address.default("127.0.0.1:4984"),
  /** HOST:PORT of the listener for administration: on loopback only, unless `adminAuth` has users. */
  admin: address.default("127.0.0.1:4985"),
  /** HOST:PORT of the listener for metrics and health. */
  metrics: address.default("127.0.0.1:4986"),
  /** Open a database `demo` that a guest may use, filled once. */
  demo: z.boolean().default(false),
  adminAuth: z
    .strictObject({
      /** Who may use the admin listener. None: everybody who reaches it, on loopback only. */
      users: z
        .record(
          z.string().regex(/^[\w.@+-]{1,200}$/, "a name of letters, digits and _ . @ + -"),
          administrator,
        )
        .default({}),
    })
    .prefault({}),
  /** Addresses of proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed. */
  trustedProxies: z
    .array(z.string().refine((text) => isIP(text) !== 0, "an IP address"))
    .default([]),
  logins: z
    .strictObject({
      /** Logins that may fail in a minute, by address and by user; beyond, they get 429. */
      failuresPerAddress: count(1, 1_000_000).default(60),
      failuresPerUser: count(1, 1_000_000).default(20),
    })
    .prefault({}),
  log: z
    .strictObject({
      /** Leave user data (names, addresses, ids) out of the log. */
      redact: z.boolean().default(false),
      level: z.enum(["debug", "info", "warn", "error"]).default("info"),
      /** `auto`: lines for a person on a terminal, JSON elsewhere. */
      format: z.enum(["auto", "pretty", "json"]).default("auto"),
    })
    .prefault({}),
  cors: z
    .strictObject({
      /** Origins whose pages may use the public listener. `*`: all, without credentials. */
      origins: z.array(origin).max(1000).default([]),
      maxAgeSeconds: count(0, 86_400).default(600),
    })
    .prefault({}),
  limits: z
    .strictObject({
      /** The largest request body, after gzip is undone. */
      bodyBytes: count(1024, 1024 * MIB).default(64 * MIB),
      /** Request bodies in memory at the same moment, all together; beyond, large ones get 503. */
      heldBodyBytes: count(1024 * 1024, 1024 * 1024 * MIB).default(512 * MIB),
      /** Seconds that a body may take however slowly it comes; after them a KiB a second is due. */
      slowBodySeconds: count(1, 86_400).default(30),
      /** Answers above 1 MiB that wait for their clients, all together; beyond, more get 503. */
      heldAnswerBytes: count(1024 * 1024, 1024 * 1024 * MIB).default(512 * MIB),
      /** Feeds and WebSockets open at the same moment on all listeners. */
      openFeeds: count(1, 1_000_000).default(20_000),
    })
    .prefault({}),
  /** Databases that exist from the start: made when missing, given these settings when not. */
  databases: z
    .record(z.string().regex(DATABASE_NAME, DATABASE_NAME_RULE), databaseInFileSchema)
    .default({}),
});

/** Settings, whole. */
export type Config = z.infer<typeof configSchema>;

type Parsed = z.infer<typeof databaseSchema>;

/** The settings of one database, whole, without keys that are undefined. */
export type ParsedDatabase = Omit<Parsed, "syncFunction"> & { readonly syncFunction?: string };

/** A database's settings as the gateway takes them: nothing undefined, no file's name. */
export function databaseSettings(parsed: z.infer<typeof databaseInFileSchema>): ParsedDatabase {
  const { syncFunction, syncFunctionFile: _, ...settings } = parsed;
  return syncFunction === undefined ? settings : { ...settings, syncFunction };
}
