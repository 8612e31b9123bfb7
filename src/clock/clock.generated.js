/*eslint-disable block-scoped-var, id-length, no-control-regex, no-magic-numbers, no-mixed-operators, no-prototype-builtins, no-redeclare, no-shadow, no-var, sort-vars, default-case, jsdoc/require-param*/
import $protobuf from "protobufjs/minimal.js";

// Common aliases
const $Reader = $protobuf.Reader, $Writer = $protobuf.Writer, $util = $protobuf.util;
const $Object = $util.global.Object, $undefined = $util.global.undefined, $Error = $util.global.Error, $RangeError = $util.global.RangeError;

// Exported root namespace
const $root = $protobuf.roots["tidegate-clock"] || ($protobuf.roots["tidegate-clock"] = {});

export const tidegate = $root.tidegate = (() => {

    /**
     * Namespace tidegate.
     * @exports tidegate
     * @namespace
     */
    const tidegate = {};

    tidegate.clock = (function() {

        /**
         * Namespace clock.
         * @memberof tidegate
         * @namespace
         */
        const clock = {};

        clock.WholeClock = (function() {

            /**
             * Properties of a WholeClock.
             * @typedef {Object} tidegate.clock.WholeClock.$Properties
             * @property {number|null} [version] WholeClock version
             * @property {number|null} [vbuckets] WholeClock vbuckets
             * @property {Uint8Array|null} [payload] WholeClock payload
             * @property {Array.<Uint8Array>} [$unknowns] Unknown fields preserved while decoding when enabled
             */

            /**
             * Properties of a WholeClock.
             * @memberof tidegate.clock
             * @interface IWholeClock
             * @augments tidegate.clock.WholeClock.$Properties
             * @deprecated Use tidegate.clock.WholeClock.$Properties instead.
             */

            /**
             * Shape of a WholeClock.
             * @typedef {tidegate.clock.WholeClock.$Properties} tidegate.clock.WholeClock.$Shape
             */

            /**
             * Constructs a new WholeClock.
             * @memberof tidegate.clock
             * @classdesc Represents a WholeClock.
             * @constructor
             * @param {tidegate.clock.WholeClock.$Properties=} [properties] Properties to set
             * @property {Array.<Uint8Array>} [$unknowns] Unknown fields preserved while decoding when enabled
             */
            const WholeClock = function (properties) {
                if (properties)
                    for (let keys = $Object.keys(properties), i = 0; i < keys.length; ++i)
                        if (properties[keys[i]] != null && keys[i] !== "__proto__")
                            this[keys[i]] = properties[keys[i]];
            };

            /**
             * WholeClock version.
             * @member {number} version
             * @memberof tidegate.clock.WholeClock
             * @instance
             */
            WholeClock.prototype.version = 0;

            /**
             * WholeClock vbuckets.
             * @member {number} vbuckets
             * @memberof tidegate.clock.WholeClock
             * @instance
             */
            WholeClock.prototype.vbuckets = 0;

            /**
             * WholeClock payload.
             * @member {Uint8Array} payload
             * @memberof tidegate.clock.WholeClock
             * @instance
             */
            WholeClock.prototype.payload = $util.newBuffer([]);

            /**
             * Encodes the specified WholeClock message. Does not implicitly {@link tidegate.clock.WholeClock.verify|verify} messages.
             * @function encode
             * @memberof tidegate.clock.WholeClock
             * @static
             * @param {tidegate.clock.WholeClock.$Properties} message WholeClock message or plain object to encode
             * @param {$protobuf.Writer} [writer] Writer to encode to
             * @returns {$protobuf.Writer} Writer
             */
            WholeClock.encode = function (message, writer, _depth) {
                if (!writer)
                    writer = $Writer.create();
                if (_depth === $undefined)
                    _depth = 0;
                if (_depth > $util.recursionLimit)
                    throw $Error("max depth exceeded");
                if (message.version != null && $Object.hasOwnProperty.call(message, "version") && message.version !== 0)
                    writer.uint32(/* id 1, wireType 0 =*/8).uint32(message.version);
                if (message.vbuckets != null && $Object.hasOwnProperty.call(message, "vbuckets") && message.vbuckets !== 0)
                    writer.uint32(/* id 2, wireType 0 =*/16).uint32(message.vbuckets);
                if (message.payload != null && $Object.hasOwnProperty.call(message, "payload") && message.payload.length)
                    writer.uint32(/* id 3, wireType 2 =*/26).bytes(message.payload);
                if (message.$unknowns != null && $Object.hasOwnProperty.call(message, "$unknowns"))
                    for (let i = 0; i < message.$unknowns.length; ++i)
                        writer.raw(message.$unknowns[i]);
                return writer;
            };

            /**
             * Decodes a WholeClock message from the specified reader or buffer.
             * @function decode
             * @memberof tidegate.clock.WholeClock
             * @static
             * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
             * @param {number} [length] Message length if known beforehand
             * @returns {tidegate.clock.WholeClock & tidegate.clock.WholeClock.$Shape} WholeClock
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            WholeClock.decode = function (reader, length, _end, _depth, _target) {
                if (!(reader instanceof $Reader))
                    reader = $Reader.create(reader);
                if (_depth === $undefined)
                    _depth = 0;
                if (_depth > $Reader.recursionLimit)
                    throw $Error("max depth exceeded");
                let end, message, value;
                if (length === $undefined)
                    end = reader.len;
                else {
                    end = reader.pos + length;
                    if (end > reader.len)
                        throw $RangeError("index out of range");
                    length = reader.len;
                    reader.len = end;
                }
                message = _target || new $root.tidegate.clock.WholeClock();
                while (reader.pos < end) {
                    let start = reader.pos;
                    let tag = reader.tag();
                    if (tag === _end) {
                        _end = $undefined;
                        break;
                    }
                    let wireType = tag & 7;
                    switch (tag >>>= 3) {
                    case 1: {
                            if (wireType !== 0)
                                break;
                            if (value = reader.uint32())
                                message.version = value;
                            else
                                delete message.version;
                            continue;
                        }
                    case 2: {
                            if (wireType !== 0)
                                break;
                            if (value = reader.uint32())
                                message.vbuckets = value;
                            else
                                delete message.vbuckets;
                            continue;
                        }
                    case 3: {
                            if (wireType !== 2)
                                break;
                            if ((value = reader.bytes()).length)
                                message.payload = value;
                            else
                                delete message.payload;
                            continue;
                        }
                    }
                    reader.skipType(wireType, _depth, tag);
                    if (!reader.discardUnknown) {
                        $util.makeProp(message, "$unknowns", false);
                        (message.$unknowns || (message.$unknowns = [])).push(reader.raw(start, reader.pos));
                    }
                }
                if (length !== $undefined) {
                    if (reader.pos !== end)
                        throw $RangeError("index out of range");
                    reader.len = length;
                }
                if (_end !== $undefined)
                    throw $Error("missing end group");
                return message;
            };

            return WholeClock;
        })();

        clock.Segment = (function() {

            /**
             * Properties of a Segment.
             * @typedef {Object} tidegate.clock.Segment.$Properties
             * @property {Array.<tidegate.clock.TickRecord.$Properties>|null} [records] Segment records
             * @property {Array.<Uint8Array>} [$unknowns] Unknown fields preserved while decoding when enabled
             */

            /**
             * Properties of a Segment.
             * @memberof tidegate.clock
             * @interface ISegment
             * @augments tidegate.clock.Segment.$Properties
             * @deprecated Use tidegate.clock.Segment.$Properties instead.
             */

            /**
             * Shape of a Segment.
             * @typedef {{
             *   records?: Array.<tidegate.clock.TickRecord.$Shape>|null;
             *   $unknowns?: Array.<Uint8Array>;
             * }} tidegate.clock.Segment.$Shape
             */

            /**
             * Constructs a new Segment.
             * @memberof tidegate.clock
             * @classdesc Represents a Segment.
             * @constructor
             * @param {tidegate.clock.Segment.$Properties=} [properties] Properties to set
             * @property {Array.<Uint8Array>} [$unknowns] Unknown fields preserved while decoding when enabled
             */
            const Segment = function (properties) {
                this.records = [];
                if (properties)
                    for (let keys = $Object.keys(properties), i = 0; i < keys.length; ++i)
                        if (properties[keys[i]] != null && keys[i] !== "__proto__")
                            this[keys[i]] = properties[keys[i]];
            };

            /**
             * Segment records.
             * @member {Array.<tidegate.clock.TickRecord.$Properties>} records
             * @memberof tidegate.clock.Segment
             * @instance
             */
            Segment.prototype.records = $util.emptyArray;

            /**
             * Encodes the specified Segment message. Does not implicitly {@link tidegate.clock.Segment.verify|verify} messages.
             * @function encode
             * @memberof tidegate.clock.Segment
             * @static
             * @param {tidegate.clock.Segment.$Properties} message Segment message or plain object to encode
             * @param {$protobuf.Writer} [writer] Writer to encode to
             * @returns {$protobuf.Writer} Writer
             */
            Segment.encode = function (message, writer, _depth) {
                if (!writer)
                    writer = $Writer.create();
                if (_depth === $undefined)
                    _depth = 0;
                if (_depth > $util.recursionLimit)
                    throw $Error("max depth exceeded");
                if (message.records != null && message.records.length)
                    for (let i = 0; i < message.records.length; ++i)
                        $root.tidegate.clock.TickRecord.encode(message.records[i], writer.uint32(/* id 1, wireType 2 =*/10).fork(), _depth + 1).ldelim();
                if (message.$unknowns != null && $Object.hasOwnProperty.call(message, "$unknowns"))
                    for (let i = 0; i < message.$unknowns.length; ++i)
                        writer.raw(message.$unknowns[i]);
                return writer;
            };

            /**
             * Decodes a Segment message from the specified reader or buffer.
             * @function decode
             * @memberof tidegate.clock.Segment
             * @static
             * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
             * @param {number} [length] Message length if known beforehand
             * @returns {tidegate.clock.Segment & tidegate.clock.Segment.$Shape} Segment
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            Segment.decode = function (reader, length, _end, _depth, _target) {
                if (!(reader instanceof $Reader))
                    reader = $Reader.create(reader);
                if (_depth === $undefined)
                    _depth = 0;
                if (_depth > $Reader.recursionLimit)
                    throw $Error("max depth exceeded");
                let end, message;
                if (length === $undefined)
                    end = reader.len;
                else {
                    end = reader.pos + length;
                    if (end > reader.len)
                        throw $RangeError("index out of range");
                    length = reader.len;
                    reader.len = end;
                }
                message = _target || new $root.tidegate.clock.Segment();
                while (reader.pos < end) {
                    let start = reader.pos;
                    let tag = reader.tag();
                    if (tag === _end) {
                        _end = $undefined;
                        break;
                    }
                    let wireType = tag & 7;
                    switch (tag >>>= 3) {
                    case 1: {
                            if (wireType !== 2)
                                break;
                            if (!(message.records && message.records.length))
                                message.records = [];
                            message.records.push($root.tidegate.clock.TickRecord.decode(reader, reader.size(), $undefined, _depth + 1));
                            continue;
                        }
                    }
                    reader.skipType(wireType, _depth, tag);
                    if (!reader.discardUnknown) {
                        $util.makeProp(message, "$unknowns", false);
                        (message.$unknowns || (message.$unknowns = [])).push(reader.raw(start, reader.pos));
                    }
                }
                if (length !== $undefined) {
                    if (reader.pos !== end)
                        throw $RangeError("index out of range");
                    reader.len = length;
                }
                if (_end !== $undefined)
                    throw $Error("missing end group");
                return message;
            };

            return Segment;
        })();

        clock.TickRecord = (function() {

            /**
             * Properties of a TickRecord.
             * @typedef {Object} tidegate.clock.TickRecord.$Properties
             * @property {number|null} [version] TickRecord version
             * @property {number|null} [tick] TickRecord tick
             * @property {number|null} [gap] TickRecord gap
             * @property {Uint8Array|null} [checkpoint] TickRecord checkpoint
             * @property {Uint8Array|null} [change] TickRecord change
             * @property {Uint8Array|null} [leap] TickRecord leap
             * @property {"checkpoint"|"change"|"leap"} [clock] TickRecord clock
             * @property {Array.<Uint8Array>} [$unknowns] Unknown fields preserved while decoding when enabled
             */

            /**
             * Properties of a TickRecord.
             * @memberof tidegate.clock
             * @interface ITickRecord
             * @augments tidegate.clock.TickRecord.$Properties
             * @deprecated Use tidegate.clock.TickRecord.$Properties instead.
             */

            /**
             * Narrowed shape of a TickRecord.
             * @typedef {{
             *   version?: number|null;
             *   tick?: number|null;
             *   gap?: number|null;
             *   checkpoint?: Uint8Array|null;
             *   change?: Uint8Array|null;
             *   leap?: Uint8Array|null;
             *   $unknowns?: Array.<Uint8Array>;
             * } & (
             *   ({ clock?: undefined; checkpoint?: null; change?: null; leap?: null }|{ clock?: "checkpoint"; checkpoint: Uint8Array; change?: null; leap?: null }|{ clock?: "change"; checkpoint?: null; change: Uint8Array; leap?: null }|{ clock?: "leap"; checkpoint?: null; change?: null; leap: Uint8Array })
             * )} tidegate.clock.TickRecord.$Shape
             */

            /**
             * Constructs a new TickRecord.
             * @memberof tidegate.clock
             * @classdesc Represents a TickRecord.
             * @constructor
             * @param {tidegate.clock.TickRecord.$Properties=} [properties] Properties to set
             * @property {Array.<Uint8Array>} [$unknowns] Unknown fields preserved while decoding when enabled
             */
            const TickRecord = function (properties) {
                if (properties)
                    for (let keys = $Object.keys(properties), i = 0; i < keys.length; ++i)
                        if (properties[keys[i]] != null && keys[i] !== "__proto__")
                            this[keys[i]] = properties[keys[i]];
            };

            /**
             * TickRecord version.
             * @member {number} version
             * @memberof tidegate.clock.TickRecord
             * @instance
             */
            TickRecord.prototype.version = 0;

            /**
             * TickRecord tick.
             * @member {number} tick
             * @memberof tidegate.clock.TickRecord
             * @instance
             */
            TickRecord.prototype.tick = 0;

            /**
             * TickRecord gap.
             * @member {number} gap
             * @memberof tidegate.clock.TickRecord
             * @instance
             */
            TickRecord.prototype.gap = 0;

            /**
             * TickRecord checkpoint.
             * @member {Uint8Array|null|undefined} checkpoint
             * @memberof tidegate.clock.TickRecord
             * @instance
             */
            TickRecord.prototype.checkpoint = null;

            /**
             * TickRecord change.
             * @member {Uint8Array|null|undefined} change
             * @memberof tidegate.clock.TickRecord
             * @instance
             */
            TickRecord.prototype.change = null;

            /**
             * TickRecord leap.
             * @member {Uint8Array|null|undefined} leap
             * @memberof tidegate.clock.TickRecord
             * @instance
             */
            TickRecord.prototype.leap = null;

            // OneOf field names bound to virtual getters and setters
            let $oneOfFields;

            /**
             * TickRecord clock.
             * @member {"checkpoint"|"change"|"leap"|undefined} clock
             * @memberof tidegate.clock.TickRecord
             * @instance
             */
            $Object.defineProperty(TickRecord.prototype, "clock", {
                get: $util.oneOfGetter($oneOfFields = ["checkpoint", "change", "leap"]),
                set: $util.oneOfSetter($oneOfFields)
            });

            /**
             * Encodes the specified TickRecord message. Does not implicitly {@link tidegate.clock.TickRecord.verify|verify} messages.
             * @function encode
             * @memberof tidegate.clock.TickRecord
             * @static
             * @param {tidegate.clock.TickRecord.$Properties} message TickRecord message or plain object to encode
             * @param {$protobuf.Writer} [writer] Writer to encode to
             * @returns {$protobuf.Writer} Writer
             */
            TickRecord.encode = function (message, writer, _depth) {
                if (!writer)
                    writer = $Writer.create();
                if (_depth === $undefined)
                    _depth = 0;
                if (_depth > $util.recursionLimit)
                    throw $Error("max depth exceeded");
                if (message.version != null && $Object.hasOwnProperty.call(message, "version") && message.version !== 0)
                    writer.uint32(/* id 1, wireType 0 =*/8).uint32(message.version);
                if (message.tick != null && $Object.hasOwnProperty.call(message, "tick") && !$Object.is(message.tick, 0))
                    writer.uint32(/* id 2, wireType 1 =*/17).double(message.tick);
                if (message.gap != null && $Object.hasOwnProperty.call(message, "gap") && message.gap !== 0)
                    writer.uint32(/* id 3, wireType 0 =*/24).uint32(message.gap);
                if (message.checkpoint != null && $Object.hasOwnProperty.call(message, "checkpoint"))
                    writer.uint32(/* id 4, wireType 2 =*/34).bytes(message.checkpoint);
                if (message.change != null && $Object.hasOwnProperty.call(message, "change"))
                    writer.uint32(/* id 5, wireType 2 =*/42).bytes(message.change);
                if (message.leap != null && $Object.hasOwnProperty.call(message, "leap"))
                    writer.uint32(/* id 6, wireType 2 =*/50).bytes(message.leap);
                if (message.$unknowns != null && $Object.hasOwnProperty.call(message, "$unknowns"))
                    for (let i = 0; i < message.$unknowns.length; ++i)
                        writer.raw(message.$unknowns[i]);
                return writer;
            };

            /**
             * Decodes a TickRecord message from the specified reader or buffer.
             * @function decode
             * @memberof tidegate.clock.TickRecord
             * @static
             * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
             * @param {number} [length] Message length if known beforehand
             * @returns {tidegate.clock.TickRecord & tidegate.clock.TickRecord.$Shape} TickRecord
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            TickRecord.decode = function (reader, length, _end, _depth, _target) {
                if (!(reader instanceof $Reader))
                    reader = $Reader.create(reader);
                if (_depth === $undefined)
                    _depth = 0;
                if (_depth > $Reader.recursionLimit)
                    throw $Error("max depth exceeded");
                let end, message, value;
                if (length === $undefined)
                    end = reader.len;
                else {
                    end = reader.pos + length;
                    if (end > reader.len)
                        throw $RangeError("index out of range");
                    length = reader.len;
                    reader.len = end;
                }
                message = _target || new $root.tidegate.clock.TickRecord();
                while (reader.pos < end) {
                    let start = reader.pos;
                    let tag = reader.tag();
                    if (tag === _end) {
                        _end = $undefined;
                        break;
                    }
                    let wireType = tag & 7;
                    switch (tag >>>= 3) {
                    case 1: {
                            if (wireType !== 0)
                                break;
                            if (value = reader.uint32())
                                message.version = value;
                            else
                                delete message.version;
                            continue;
                        }
                    case 2: {
                            if (wireType !== 1)
                                break;
                            if (!$Object.is(value = reader.double(), 0))
                                message.tick = value;
                            else
                                delete message.tick;
                            continue;
                        }
                    case 3: {
                            if (wireType !== 0)
                                break;
                            if (value = reader.uint32())
                                message.gap = value;
                            else
                                delete message.gap;
                            continue;
                        }
                    case 4: {
                            if (wireType !== 2)
                                break;
                            message.checkpoint = reader.bytes();
                            message.clock = "checkpoint";
                            continue;
                        }
                    case 5: {
                            if (wireType !== 2)
                                break;
                            message.change = reader.bytes();
                            message.clock = "change";
                            continue;
                        }
                    case 6: {
                            if (wireType !== 2)
                                break;
                            message.leap = reader.bytes();
                            message.clock = "leap";
                            continue;
                        }
                    }
                    reader.skipType(wireType, _depth, tag);
                    if (!reader.discardUnknown) {
                        $util.makeProp(message, "$unknowns", false);
                        (message.$unknowns || (message.$unknowns = [])).push(reader.raw(start, reader.pos));
                    }
                }
                if (length !== $undefined) {
                    if (reader.pos !== end)
                        throw $RangeError("index out of range");
                    reader.len = length;
                }
                if (_end !== $undefined)
                    throw $Error("missing end group");
                return message;
            };

            return TickRecord;
        })();

        clock.PartitionClock = (function() {

            /**
             * Properties of a PartitionClock.
             * @typedef {Object} tidegate.clock.PartitionClock.$Properties
             * @property {number|null} [version] PartitionClock version
             * @property {number|null} [vbuckets] PartitionClock vbuckets
             * @property {Array.<number>|null} [vbucketGaps] PartitionClock vbucketGaps
             * @property {Uint8Array|null} [seqs] PartitionClock seqs
             * @property {Array.<number>|null} [branchCounts] PartitionClock branchCounts
             * @property {Uint8Array|null} [vbuuids] PartitionClock vbuuids
             * @property {Uint8Array|null} [branchSeqs] PartitionClock branchSeqs
             * @property {number|null} [check] PartitionClock check
             * @property {Array.<Uint8Array>} [$unknowns] Unknown fields preserved while decoding when enabled
             */

            /**
             * Properties of a PartitionClock.
             * @memberof tidegate.clock
             * @interface IPartitionClock
             * @augments tidegate.clock.PartitionClock.$Properties
             * @deprecated Use tidegate.clock.PartitionClock.$Properties instead.
             */

            /**
             * Shape of a PartitionClock.
             * @typedef {tidegate.clock.PartitionClock.$Properties} tidegate.clock.PartitionClock.$Shape
             */

            /**
             * Constructs a new PartitionClock.
             * @memberof tidegate.clock
             * @classdesc Represents a PartitionClock.
             * @constructor
             * @param {tidegate.clock.PartitionClock.$Properties=} [properties] Properties to set
             * @property {Array.<Uint8Array>} [$unknowns] Unknown fields preserved while decoding when enabled
             */
            const PartitionClock = function (properties) {
                this.vbucketGaps = [];
                this.branchCounts = [];
                if (properties)
                    for (let keys = $Object.keys(properties), i = 0; i < keys.length; ++i)
                        if (properties[keys[i]] != null && keys[i] !== "__proto__")
                            this[keys[i]] = properties[keys[i]];
            };

            /**
             * PartitionClock version.
             * @member {number} version
             * @memberof tidegate.clock.PartitionClock
             * @instance
             */
            PartitionClock.prototype.version = 0;

            /**
             * PartitionClock vbuckets.
             * @member {number} vbuckets
             * @memberof tidegate.clock.PartitionClock
             * @instance
             */
            PartitionClock.prototype.vbuckets = 0;

            /**
             * PartitionClock vbucketGaps.
             * @member {Array.<number>} vbucketGaps
             * @memberof tidegate.clock.PartitionClock
             * @instance
             */
            PartitionClock.prototype.vbucketGaps = $util.emptyArray;

            /**
             * PartitionClock seqs.
             * @member {Uint8Array} seqs
             * @memberof tidegate.clock.PartitionClock
             * @instance
             */
            PartitionClock.prototype.seqs = $util.newBuffer([]);

            /**
             * PartitionClock branchCounts.
             * @member {Array.<number>} branchCounts
             * @memberof tidegate.clock.PartitionClock
             * @instance
             */
            PartitionClock.prototype.branchCounts = $util.emptyArray;

            /**
             * PartitionClock vbuuids.
             * @member {Uint8Array} vbuuids
             * @memberof tidegate.clock.PartitionClock
             * @instance
             */
            PartitionClock.prototype.vbuuids = $util.newBuffer([]);

            /**
             * PartitionClock branchSeqs.
             * @member {Uint8Array} branchSeqs
             * @memberof tidegate.clock.PartitionClock
             * @instance
             */
            PartitionClock.prototype.branchSeqs = $util.newBuffer([]);

            /**
             * PartitionClock check.
             * @member {number} check
             * @memberof tidegate.clock.PartitionClock
             * @instance
             */
            PartitionClock.prototype.check = 0;

            /**
             * Encodes the specified PartitionClock message. Does not implicitly {@link tidegate.clock.PartitionClock.verify|verify} messages.
             * @function encode
             * @memberof tidegate.clock.PartitionClock
             * @static
             * @param {tidegate.clock.PartitionClock.$Properties} message PartitionClock message or plain object to encode
             * @param {$protobuf.Writer} [writer] Writer to encode to
             * @returns {$protobuf.Writer} Writer
             */
            PartitionClock.encode = function (message, writer, _depth) {
                if (!writer)
                    writer = $Writer.create();
                if (_depth === $undefined)
                    _depth = 0;
                if (_depth > $util.recursionLimit)
                    throw $Error("max depth exceeded");
                if (message.version != null && $Object.hasOwnProperty.call(message, "version") && message.version !== 0)
                    writer.uint32(/* id 1, wireType 0 =*/8).uint32(message.version);
                if (message.vbuckets != null && $Object.hasOwnProperty.call(message, "vbuckets") && message.vbuckets !== 0)
                    writer.uint32(/* id 2, wireType 0 =*/16).uint32(message.vbuckets);
                if (message.vbucketGaps != null && message.vbucketGaps.length)
                    writer.uint32(/* id 3, wireType 2 =*/26).uint32s(message.vbucketGaps);
                if (message.seqs != null && $Object.hasOwnProperty.call(message, "seqs") && message.seqs.length)
                    writer.uint32(/* id 4, wireType 2 =*/34).bytes(message.seqs);
                if (message.branchCounts != null && message.branchCounts.length)
                    writer.uint32(/* id 5, wireType 2 =*/42).uint32s(message.branchCounts);
                if (message.vbuuids != null && $Object.hasOwnProperty.call(message, "vbuuids") && message.vbuuids.length)
                    writer.uint32(/* id 6, wireType 2 =*/50).bytes(message.vbuuids);
                if (message.branchSeqs != null && $Object.hasOwnProperty.call(message, "branchSeqs") && message.branchSeqs.length)
                    writer.uint32(/* id 7, wireType 2 =*/58).bytes(message.branchSeqs);
                if (message.check != null && $Object.hasOwnProperty.call(message, "check") && message.check !== 0)
                    writer.uint32(/* id 15, wireType 5 =*/125).fixed32(message.check);
                if (message.$unknowns != null && $Object.hasOwnProperty.call(message, "$unknowns"))
                    for (let i = 0; i < message.$unknowns.length; ++i)
                        writer.raw(message.$unknowns[i]);
                return writer;
            };

            /**
             * Decodes a PartitionClock message from the specified reader or buffer.
             * @function decode
             * @memberof tidegate.clock.PartitionClock
             * @static
             * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
             * @param {number} [length] Message length if known beforehand
             * @returns {tidegate.clock.PartitionClock & tidegate.clock.PartitionClock.$Shape} PartitionClock
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            PartitionClock.decode = function (reader, length, _end, _depth, _target) {
                if (!(reader instanceof $Reader))
                    reader = $Reader.create(reader);
                if (_depth === $undefined)
                    _depth = 0;
                if (_depth > $Reader.recursionLimit)
                    throw $Error("max depth exceeded");
                let end, message, value;
                if (length === $undefined)
                    end = reader.len;
                else {
                    end = reader.pos + length;
                    if (end > reader.len)
                        throw $RangeError("index out of range");
                    length = reader.len;
                    reader.len = end;
                }
                message = _target || new $root.tidegate.clock.PartitionClock();
                while (reader.pos < end) {
                    let start = reader.pos;
                    let tag = reader.tag();
                    if (tag === _end) {
                        _end = $undefined;
                        break;
                    }
                    let wireType = tag & 7;
                    switch (tag >>>= 3) {
                    case 1: {
                            if (wireType !== 0)
                                break;
                            if (value = reader.uint32())
                                message.version = value;
                            else
                                delete message.version;
                            continue;
                        }
                    case 2: {
                            if (wireType !== 0)
                                break;
                            if (value = reader.uint32())
                                message.vbuckets = value;
                            else
                                delete message.vbuckets;
                            continue;
                        }
                    case 3: {
                            if (wireType === 2) {
                                if (!(message.vbucketGaps && message.vbucketGaps.length))
                                    message.vbucketGaps = [];
                                reader.uint32s(message.vbucketGaps);
                                continue;
                            }
                            if (wireType !== 0)
                                break;
                            if (!(message.vbucketGaps && message.vbucketGaps.length))
                                message.vbucketGaps = [];
                            message.vbucketGaps.push(reader.uint32());
                            continue;
                        }
                    case 4: {
                            if (wireType !== 2)
                                break;
                            if ((value = reader.bytes()).length)
                                message.seqs = value;
                            else
                                delete message.seqs;
                            continue;
                        }
                    case 5: {
                            if (wireType === 2) {
                                if (!(message.branchCounts && message.branchCounts.length))
                                    message.branchCounts = [];
                                reader.uint32s(message.branchCounts);
                                continue;
                            }
                            if (wireType !== 0)
                                break;
                            if (!(message.branchCounts && message.branchCounts.length))
                                message.branchCounts = [];
                            message.branchCounts.push(reader.uint32());
                            continue;
                        }
                    case 6: {
                            if (wireType !== 2)
                                break;
                            if ((value = reader.bytes()).length)
                                message.vbuuids = value;
                            else
                                delete message.vbuuids;
                            continue;
                        }
                    case 7: {
                            if (wireType !== 2)
                                break;
                            if ((value = reader.bytes()).length)
                                message.branchSeqs = value;
                            else
                                delete message.branchSeqs;
                            continue;
                        }
                    case 15: {
                            if (wireType !== 5)
                                break;
                            if (value = reader.fixed32())
                                message.check = value;
                            else
                                delete message.check;
                            continue;
                        }
                    }
                    reader.skipType(wireType, _depth, tag);
                    if (!reader.discardUnknown) {
                        $util.makeProp(message, "$unknowns", false);
                        (message.$unknowns || (message.$unknowns = [])).push(reader.raw(start, reader.pos));
                    }
                }
                if (length !== $undefined) {
                    if (reader.pos !== end)
                        throw $RangeError("index out of range");
                    reader.len = length;
                }
                if (_end !== $undefined)
                    throw $Error("missing end group");
                return message;
            };

            return PartitionClock;
        })();

        return clock;
    })();

    return tidegate;
})();

export {
  $root as default
};
