// The catalogue of errors that reach a user, over every transport. One class, one code each.
// The comment beside a code is its documentation: when it happens and what to do.

/** code -> [HTTP status, the `error` word of CouchDB's error shape]. */
export const catalogue = {
  /** The request is malformed: the reason names the part and what was expected. */
  bad_request: [400, "bad_request"],
  /** The body is not JSON, or not the JSON that this call takes. */
  bad_json: [400, "bad_request"],
  /** `since` is not a sequence that a gateway could have sent. Use one that was sent, or `0`. */
  bad_sequence: [400, "bad_request"],
  /** The document id is empty, too long, or starts with a reserved prefix. */
  bad_document_id: [400, "illegal_docid"],
  /** The revision is not of the form `N-hash`, or does not fit the history given. */
  bad_revision: [400, "bad_request"],
  /** The database name has characters that are not allowed, or is too long. */
  bad_database_name: [400, "illegal_database_name"],
  /** A document has a top-level `_` key that means nothing here. */
  bad_document: [400, "doc_validation"],
  /** Nobody is logged in and the guest may not do this. */
  unauthorized: [401, "unauthorized"],
  /** The sync function, or the access rules, refused. */
  forbidden: [403, "forbidden"],
  /** No such document, revision, attachment, database or route. */
  not_found: [404, "not_found"],
  /** The document exists but its winning revision is a deletion. */
  deleted: [404, "not_found"],
  /** The method does not exist on this path. */
  method_not_allowed: [405, "method_not_allowed"],
  /** The request's body came too slowly, and was not waited for. */
  too_slow: [408, "request_timeout"],
  /** None of the representations asked for can be made. */
  not_acceptable: [406, "not_acceptable"],
  /** The revision given is not the current one. Read the document again and repeat the change. */
  conflict: [409, "conflict"],
  /** The database exists already. */
  database_exists: [412, "file_exists"],
  /** An attachment stub names data that the gateway does not have. Send the data. */
  missing_stub: [412, "missing_stub"],
  /** Body, document, attachment or history is over its limit: the reason names the limit. */
  too_large: [413, "too_large"],
  /** The content type or encoding is not one that this call takes. */
  unsupported_media_type: [415, "bad_content_type"],
  /** The byte range asked for is not in the attachment. */
  range_not_satisfiable: [416, "requested_range_not_satisfiable"],
  /** An attachment's digest or length is not what its description said. */
  digest_mismatch: [400, "bad_request"],
  /** Too many logins failed from this address or for this user: wait as `Retry-After` says. */
  too_many_requests: [429, "too_many_requests"],
  /** The sync function failed by itself: it threw, looped, or ran out of memory. */
  sync_function_failed: [500, "sync_function_failed"],
  /** The bucket can't take the write now (busy, out of space): nothing was changed; try again. */
  unavailable: [503, "unavailable"],
  /** The bucket did not say whether the write happened: read the document before repeating it. */
  ambiguous: [503, "ambiguous"],
  /** Stored bytes fail their checksum or version: the reason names the place. */
  corrupt: [500, "corrupt"],
  /** A data directory or record was written by a newer Tidegate. Use that version. */
  newer_version: [500, "newer_version"],
  /** Another node owns this partition now; this node's clock write was refused. */
  stale_owner: [503, "unavailable"],
  /** A setting is wrong: the reason names its path in the configuration. */
  bad_config: [400, "bad_config"],
  /** A defect in Tidegate. The log has the details under the request's id. */
  internal: [500, "internal_server_error"],
} as const satisfies Record<string, readonly [status: number, word: string]>;

/** The codes of the catalogue. */
export type ErrorCode = keyof typeof catalogue;

/** The one error class of Tidegate: a code of the catalogue and a reason for a person. */
export class TidegateError extends Error {
  override readonly name = "TidegateError";
  readonly code: ErrorCode;
  /** Seconds after which a repeat has a chance; sent as `Retry-After`. */
  readonly retryAfterSeconds: number | undefined;

  /**
   * @param code the catalogue's code
   * @param reason what was expected, what came, what to do
   * @param options `cause`: the error beneath, for the log; it is never sent to a client
   */
  constructor(
    code: ErrorCode,
    reason: string,
    options?: { cause?: unknown; retryAfterSeconds?: number },
  ) {
    super(reason, options);
    this.code = code;
    this.retryAfterSeconds = options?.retryAfterSeconds;
  }

  /** The HTTP status of this error. */
  get status(): number {
    return catalogue[this.code][0];
  }

  /** CouchDB's error shape: `{"error": word, "reason": text}`. */
  toJSON(): { error: string; reason: string } {
    return { error: catalogue[this.code][1], reason: this.message };
  }
}

/** Whether `error` is a {@link TidegateError}, of this code when one is given. */
export function isTidegateError(error: unknown, code?: ErrorCode): error is TidegateError {
  return error instanceof TidegateError && (code === undefined || error.code === code);
}
