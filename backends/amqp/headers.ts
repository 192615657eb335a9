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
/** The size of a table entry without its name and its text, in bytes. */
const OVERHEAD = 6;
/** The size of all other fields in the header frame of a message, in bytes. */
const SURROUNDINGS = 256;

/**
 * Names that RabbitMQ or one of its plugins reads, sets or drops. All other `x-…` names are free.
 */
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

/**
 * On Node.js, the client loses this name when it reads it. So the header is also sent under another
 * name.
 */
const LOST = "__proto__";
const FOUND = "broadcaster-proto";

/** A table of AMQP, as the client represents it. */
export type Table = Readonly<Record<string, unknown>>;

/**
 * Rejects headers that the server would interpret.
 *
 * @throws {TypeError} If a name is reserved.
 * @throws {RangeError} If a name is too long.
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
 * Checks that headers fit into one frame. Otherwise, a server closes the connection.
 *
 * @param headers The headers of a message.
 * @param frame The size of a frame of the connection, in bytes.
 * @throws {Error} If the headers do not fit.
 */
export function checkFrame(headers: MessageHeaders, frame: number): void {
  const length = lengthOfHeaders(headers, OVERHEAD) + lengthOfHeaders(againOf(headers), OVERHEAD);
  const room = frame - SURROUNDINGS;
  if (length <= room) return;
  throw new Error(
    `the headers take ${length} bytes, a frame of this connection has room for ${room}`,
  );
}

/** A table with the headers and the library's own entries. */
export function tableOf(headers: MessageHeaders, own: Table): Table {
  return { ...headers, ...againOf(headers), ...own };
}

/**
 * The headers of a table from any program. Newer servers return texts of more than 255 bytes as
 * bytes if they were stored in a stream.
 */
export function headersFrom(table: Table = {}): MessageHeaders | undefined {
  let entries: [string, unknown][] | undefined;
  for (const name in table) {
    // Most messages have only these entries.
    if (name === SEQUENCE_HEADER || RESERVED.test(name)) continue;
    // If the entry `__proto__` is a table, its properties are inherited.
    if (!Object.hasOwn(table, name)) continue;
    (entries ??= []).push([name === FOUND ? LOST : name, table[name]]);
  }
  return entries && headersOf(entries);
}

function againOf(headers: MessageHeaders): MessageHeaders | undefined {
  return Object.hasOwn(headers, LOST) ? { [FOUND]: headers[LOST]! } : undefined;
}
