import * as $protobuf from "protobufjs/minimal.js";
import Long = require("long");

/** Namespace tidegate. */
export namespace tidegate {

    /** Namespace clock. */
    namespace clock {

        /**
         * Properties of a WholeClock.
         * @deprecated Use tidegate.clock.WholeClock.$Properties instead.
         */
        interface IWholeClock extends tidegate.clock.WholeClock.$Properties {
        }

        /** Represents a WholeClock. */
        class WholeClock {

            /**
             * Constructs a new WholeClock.
             * @param [properties] Properties to set
             */
            constructor(properties?: tidegate.clock.WholeClock.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** WholeClock version. */
            version: number;

            /** WholeClock vbuckets. */
            vbuckets: number;

            /** WholeClock payload. */
            payload: Uint8Array;

            /**
             * Encodes the specified WholeClock message. Does not implicitly {@link tidegate.clock.WholeClock.verify|verify} messages.
             * @param message WholeClock message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: tidegate.clock.WholeClock.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a WholeClock message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {tidegate.clock.WholeClock & tidegate.clock.WholeClock.$Shape} WholeClock
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): tidegate.clock.WholeClock & tidegate.clock.WholeClock.$Shape;
        }

        namespace WholeClock {

            /** Properties of a WholeClock. */
            interface $Properties {

                /** WholeClock version */
                version?: (number|null);

                /** WholeClock vbuckets */
                vbuckets?: (number|null);

                /** WholeClock payload */
                payload?: (Uint8Array|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of a WholeClock. */
            type $Shape = tidegate.clock.WholeClock.$Properties;
        }

        /**
         * Properties of a Segment.
         * @deprecated Use tidegate.clock.Segment.$Properties instead.
         */
        interface ISegment extends tidegate.clock.Segment.$Properties {
        }

        /** Represents a Segment. */
        class Segment {

            /**
             * Constructs a new Segment.
             * @param [properties] Properties to set
             */
            constructor(properties?: tidegate.clock.Segment.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** Segment records. */
            records: tidegate.clock.TickRecord.$Properties[];

            /**
             * Encodes the specified Segment message. Does not implicitly {@link tidegate.clock.Segment.verify|verify} messages.
             * @param message Segment message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: tidegate.clock.Segment.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a Segment message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {tidegate.clock.Segment & tidegate.clock.Segment.$Shape} Segment
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): tidegate.clock.Segment & tidegate.clock.Segment.$Shape;
        }

        namespace Segment {

            /** Properties of a Segment. */
            interface $Properties {

                /** Segment records */
                records?: (tidegate.clock.TickRecord.$Properties[]|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of a Segment. */
            type $Shape = {
              records?: tidegate.clock.TickRecord.$Shape[]|null;
              $unknowns?: Uint8Array[];
            };
        }

        /**
         * Properties of a TickRecord.
         * @deprecated Use tidegate.clock.TickRecord.$Properties instead.
         */
        interface ITickRecord extends tidegate.clock.TickRecord.$Properties {
        }

        /** Represents a TickRecord. */
        class TickRecord {

            /**
             * Constructs a new TickRecord.
             * @param [properties] Properties to set
             */
            constructor(properties?: tidegate.clock.TickRecord.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** TickRecord version. */
            version: number;

            /** TickRecord tick. */
            tick: number;

            /** TickRecord gap. */
            gap: number;

            /** TickRecord checkpoint. */
            checkpoint?: (Uint8Array|null);

            /** TickRecord change. */
            change?: (Uint8Array|null);

            /** TickRecord leap. */
            leap?: (Uint8Array|null);

            /** TickRecord clock. */
            clock?: ("checkpoint"|"change"|"leap");

            /**
             * Encodes the specified TickRecord message. Does not implicitly {@link tidegate.clock.TickRecord.verify|verify} messages.
             * @param message TickRecord message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: tidegate.clock.TickRecord.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a TickRecord message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {tidegate.clock.TickRecord & tidegate.clock.TickRecord.$Shape} TickRecord
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): tidegate.clock.TickRecord & tidegate.clock.TickRecord.$Shape;
        }

        namespace TickRecord {

            /** Properties of a TickRecord. */
            interface $Properties {

                /** TickRecord version */
                version?: (number|null);

                /** TickRecord tick */
                tick?: (number|null);

                /** TickRecord gap */
                gap?: (number|null);

                /** TickRecord checkpoint */
                checkpoint?: (Uint8Array|null);

                /** TickRecord change */
                change?: (Uint8Array|null);

                /** TickRecord leap */
                leap?: (Uint8Array|null);

                /** TickRecord clock */
                clock?: ("checkpoint"|"change"|"leap");

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Narrowed shape of a TickRecord. */
            type $Shape = {
              version?: number|null;
              tick?: number|null;
              gap?: number|null;
              checkpoint?: Uint8Array|null;
              change?: Uint8Array|null;
              leap?: Uint8Array|null;
              $unknowns?: Uint8Array[];
            } & (
              ({ clock?: undefined; checkpoint?: null; change?: null; leap?: null }|{ clock?: "checkpoint"; checkpoint: Uint8Array; change?: null; leap?: null }|{ clock?: "change"; checkpoint?: null; change: Uint8Array; leap?: null }|{ clock?: "leap"; checkpoint?: null; change?: null; leap: Uint8Array })
            );
        }

        /**
         * Properties of a PartitionClock.
         * @deprecated Use tidegate.clock.PartitionClock.$Properties instead.
         */
        interface IPartitionClock extends tidegate.clock.PartitionClock.$Properties {
        }

        /** Represents a PartitionClock. */
        class PartitionClock {

            /**
             * Constructs a new PartitionClock.
             * @param [properties] Properties to set
             */
            constructor(properties?: tidegate.clock.PartitionClock.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** PartitionClock version. */
            version: number;

            /** PartitionClock vbuckets. */
            vbuckets: number;

            /** PartitionClock vbucketGaps. */
            vbucketGaps: number[];

            /** PartitionClock seqs. */
            seqs: Uint8Array;

            /** PartitionClock branchCounts. */
            branchCounts: number[];

            /** PartitionClock vbuuids. */
            vbuuids: Uint8Array;

            /** PartitionClock branchSeqs. */
            branchSeqs: Uint8Array;

            /** PartitionClock check. */
            check: number;

            /**
             * Encodes the specified PartitionClock message. Does not implicitly {@link tidegate.clock.PartitionClock.verify|verify} messages.
             * @param message PartitionClock message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: tidegate.clock.PartitionClock.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a PartitionClock message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {tidegate.clock.PartitionClock & tidegate.clock.PartitionClock.$Shape} PartitionClock
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): tidegate.clock.PartitionClock & tidegate.clock.PartitionClock.$Shape;
        }

        namespace PartitionClock {

            /** Properties of a PartitionClock. */
            interface $Properties {

                /** PartitionClock version */
                version?: (number|null);

                /** PartitionClock vbuckets */
                vbuckets?: (number|null);

                /** PartitionClock vbucketGaps */
                vbucketGaps?: (number[]|null);

                /** PartitionClock seqs */
                seqs?: (Uint8Array|null);

                /** PartitionClock branchCounts */
                branchCounts?: (number[]|null);

                /** PartitionClock vbuuids */
                vbuuids?: (Uint8Array|null);

                /** PartitionClock branchSeqs */
                branchSeqs?: (Uint8Array|null);

                /** PartitionClock check */
                check?: (number|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of a PartitionClock. */
            type $Shape = tidegate.clock.PartitionClock.$Properties;
        }
    }
}
