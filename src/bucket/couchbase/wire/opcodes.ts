// The numbers of Couchbase's key-value protocol that Tidegate speaks: magics, opcodes, statuses,
// HELLO features, data types. Names are the protocol's own.

/** The first byte of a frame. The `flex` forms carry framing extras before the extras. */
export const Magic = {
  request: 0x80,
  response: 0x81,
  flexRequest: 0x08,
  flexResponse: 0x18,
  /** A request that the server makes of the client (cluster map notifications). */
  serverRequest: 0x82,
  serverResponse: 0x83,
} as const;

/** Commands. */
export const Opcode = {
  get: 0x00,
  set: 0x01,
  add: 0x02,
  replace: 0x03,
  delete: 0x04,
  increment: 0x05,
  noop: 0x0a,
  version: 0x0b,
  append: 0x0e,
  stat: 0x10,
  touch: 0x1c,
  hello: 0x1f,
  saslListMechanisms: 0x20,
  saslAuth: 0x21,
  saslStep: 0x22,
  getAllVbSeqnos: 0x48,
  dcpOpen: 0x50,
  dcpCloseStream: 0x52,
  dcpStreamRequest: 0x53,
  dcpGetFailoverLog: 0x54,
  dcpStreamEnd: 0x55,
  dcpSnapshotMarker: 0x56,
  dcpMutation: 0x57,
  dcpDeletion: 0x58,
  dcpExpiration: 0x59,
  dcpNoop: 0x5c,
  dcpBufferAcknowledgement: 0x5d,
  dcpControl: 0x5e,
  dcpSystemEvent: 0x5f,
  dcpSeqnoAdvanced: 0x64,
  dcpOsoSnapshot: 0x65,
  selectBucket: 0x89,
  observeSeqno: 0x91,
  getClusterConfig: 0xb5,
  collectionsGetManifest: 0xba,
  collectionsGetId: 0xbb,
  subdocGet: 0xc5,
  subdocMultiLookup: 0xd0,
  subdocMultiMutation: 0xd1,
  rangeScanCreate: 0xda,
  rangeScanContinue: 0xdb,
  rangeScanCancel: 0xdc,
} as const;

/** Statuses of responses. */
export const Status = {
  success: 0x00,
  keyNotFound: 0x01,
  keyExists: 0x02,
  valueTooLarge: 0x03,
  invalidArguments: 0x04,
  notStored: 0x05,
  badDelta: 0x06,
  notMyVbucket: 0x07,
  noBucket: 0x08,
  locked: 0x09,
  authStale: 0x1f,
  authError: 0x20,
  authContinue: 0x21,
  rangeError: 0x22,
  rollback: 0x23,
  accessError: 0x24,
  unknownCommand: 0x81,
  outOfMemory: 0x82,
  notSupported: 0x83,
  internalError: 0x84,
  busy: 0x85,
  temporaryFailure: 0x86,
  unknownCollection: 0x88,
  noCollectionsManifest: 0x89,
  unknownScope: 0x8c,
  streamIdInvalid: 0x8d,
  rangeScanCancelled: 0xa5,
  rangeScanMore: 0xa6,
  rangeScanComplete: 0xa7,
} as const;

/** Bits of a frame's data type. */
export const DataType = { json: 0x01, snappy: 0x02, xattr: 0x04 } as const;

/** Features asked for with HELLO. */
export const Feature = {
  tls: 0x02,
  tcpNoDelay: 0x03,
  mutationSeqno: 0x04,
  xattr: 0x06,
  xerror: 0x07,
  selectBucket: 0x08,
  snappy: 0x0a,
  json: 0x0b,
  duplex: 0x0c,
  clusterMapNotification: 0x0d,
  unorderedExecution: 0x0e,
  alternateRequest: 0x10,
  syncReplication: 0x11,
  collections: 0x12,
} as const;

/** Flags of DCP_OPEN. */
export const DcpOpenFlag = {
  producer: 0x01,
  includeXattrs: 0x04,
  noValue: 0x08,
  includeDeleteTimes: 0x20,
} as const;

/** Flags of a snapshot marker. */
export const SnapshotFlag = { memory: 0x01, disk: 0x02, checkpoint: 0x04 } as const;

/** The name of a number of one of the tables above, for messages: `0x86 (temporaryFailure)`. */
export function nameOf(table: Readonly<Record<string, number>>, value: number): string {
  const name = Object.keys(table).find((key) => table[key] === value);
  const hex = `0x${value.toString(16).padStart(2, "0")}`;
  return name === undefined ? hex : `${hex} (${name})`;
}
