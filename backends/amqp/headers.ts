/**
 * Message headers as AMQP tables.
 *
 * @module
 */

import { headersOf, lengthOfHeaders, type MessageHeaders } from "../../core/backend/headers.ts";
import { SEQUENCE_HEADER } from "../../core/backend/kit/loss_detection.ts";
import { nameOf } from "../../core/backend/name.ts";
import { quote } from "../../core/util/quote.ts";

/** The limit of the protocol for a name, in bytes. */
const LONGEST = 255;
/** The bytes of an entry in a table beyond its name and its text. */
const OVERHEAD = 6;
/** The bytes of other fields in the frame of a message's headers, ours and the server's. */
const SURROUNDINGS = 256;

/** Names that RabbitMQ or one of its plugins reads, sets or drops. Any other `x-…` is free. */
const RESERVED = new RegExp(
  `^(?:${
    [
      // Routing.
      ...["CC", "BCC", "x-cc", "x-exchange", "x-routing-key", "x-delay"],
      // When and where the message arrived.
      ...["timestamp_in_ms", "x-routed-by"],
      // Where the message was before.
      ...["x-death", "x-(?:first|last)-death-.*", "x-received-from", "x-shovelled(?:-timestamp)?"],
      // Properties of the message's queue.
      ...["x-delivery-count", "x-stream-offset", "x-stream-filter-value"],
      // Other protocols.
      ...["x-basic-.*", "x-opt-.*", "x-amqp-1\\.0-.*", "x-mqtt-publish-qos", "x-mqtt-dup"],
    ].join("|")
  })$`,
);

/** The client loses this name on Node.js when it reads it, so it is sent under another one, too. */
const LOST = "__proto__";
const FOUND = "broadcaster-proto";

/** A table of AMQP, as the client has it. */
export type Table = Readonly<Record<string, unknown>>;

/**
 * Refuses headers that have a meaning of their own to the server.
 *
 * @throws {TypeError} If a name is reserved.
 * @throws {RangeError} If it is too long.
 */
export function checkHeaders(
  backend: string,
  channel: string,
  headers: MessageHeaders | undefined,
): void {
  for (const name in headers) {
    if (name.length > LONGEST) {
      throw new RangeError(
        `Cannot publish to ${
          nameOf(channel)
        } on ${backend}: a header's name has ${name.length} bytes, the limit is ${LONGEST}`,
      );
    }
    if (RESERVED.test(name)) {
      throw new TypeError(
        `Cannot publish to ${nameOf(channel)} on ${backend}: header ${quote(name)} is reserved`,
      );
    }
  }
}

/**
 * Checks that headers fit into one frame: a server closes the connection otherwise.
 *
 * @param headers The headers of a message.
 * @param frame The size of a frame of the connection, in bytes.
 * @throws {Error} If they do not.
 */
export function checkFrame(headers: MessageHeaders, frame: number): void {
  const length = lengthOfHeaders(headers, OVERHEAD) + lengthOfHeaders(againOf(headers), OVERHEAD);
  const room = frame - SURROUNDINGS;
  if (length <= room) return;
  throw new Error(
    `the headers take ${length} bytes, a frame of this connection has room for ${room}`,
  );
}

/** The table of headers and of our own entries. */
export function tableOf(headers: MessageHeaders, own: Table): Table {
  return { ...headers, ...againOf(headers), ...own };
}

/**
 * The headers of a table, whichever program filled it. Newer servers return texts of more than
 * 255 bytes as bytes if they were stored in a stream.
 */
export function headersFrom(table: Table = {}): MessageHeaders | undefined {
  let entries: [string, unknown][] | undefined;
  for (const name in table) {
    // Most messages have no other entries.
    if (name === SEQUENCE_HEADER || RESERVED.test(name)) continue;
    // A table in the entry `__proto__` is inherited from.
    if (!Object.hasOwn(table, name)) continue;
    (entries ??= []).push([name === FOUND ? LOST : name, table[name]]);
  }
  return entries && headersOf(entries);
}

function againOf(headers: MessageHeaders): MessageHeaders | undefined {
  return Object.hasOwn(headers, LOST) ? { [FOUND]: headers[LOST]! } : undefined;
}
