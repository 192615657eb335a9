/**
 * Message headers as AMQP tables.
 *
 * @module
 */

import { headersOf, lengthOfHeaders, type MessageHeaders } from "../../core/backend/headers.ts";
import { SEQUENCE_HEADER } from "../../core/backend/kit/loss_detection.ts";

/** What the protocol allows a name, in bytes. */
const LONGEST = 255;
/** What surrounds a name and its text in a table. */
const OVERHEAD = 6;
/** What else is in the frame of a message's headers, ours and the server's. */
const SURROUNDINGS = 256;

/** What RabbitMQ or one of its plugins goes by, sets or drops: every other `x-…` is anybody's. */
const RESERVED = new RegExp(
  `^(?:${
    [
      // Where it is routed to.
      ...["CC", "BCC", "x-cc", "x-exchange", "x-routing-key", "x-delay"],
      // When it came to which node.
      ...["timestamp_in_ms", "x-routed-by"],
      // Where it was before.
      ...["x-death", "x-(?:first|last)-death-.*", "x-received-from", "x-shovelled(?:-timestamp)?"],
      // What its queue says of it, or asks for.
      ...["x-delivery-count", "x-stream-offset", "x-stream-filter-value"],
      // What other protocols have of it.
      ...["x-basic-.*", "x-opt-.*", "x-amqp-1\\.0-.*", "x-mqtt-publish-qos", "x-mqtt-dup"],
    ].join("|")
  })$`,
);

/** What the client loses of what it reads, on Node.js: it travels under another name, too. */
const LOST = "__proto__";
const FOUND = "broadcaster-proto";

/** What the client makes a table of, and of a table. */
export type Table = Readonly<Record<string, unknown>>;

/**
 * Refuses headers that the server would take for something else.
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
        `Cannot publish to "${channel}" on ${backend}: a header's name has ${name.length} bytes, the limit is ${LONGEST}`,
      );
    }
    if (RESERVED.test(name)) {
      throw new TypeError(
        `Cannot publish to "${channel}" on ${backend}: header "${name}" is reserved`,
      );
    }
  }
}

/**
 * Headers do not go into a second frame: a server closes the connection for that.
 *
 * @param headers Those of a message.
 * @param frame What a frame of the connection holds.
 */
export function checkFrame(headers: MessageHeaders, frame: number): void {
  const length = lengthOfHeaders(headers, OVERHEAD) + lengthOfHeaders(againOf(headers), OVERHEAD);
  const room = frame - SURROUNDINGS;
  if (length <= room) return;
  throw new Error(
    `the headers take ${length} bytes, a frame of this connection has room for ${room}`,
  );
}

/** The table of headers beside our own, as texts. */
export function tableOf(headers: MessageHeaders, own: Table): Table {
  return { ...headers, ...againOf(headers), ...own };
}

/**
 * The headers of a table, whoever has filled it. Newer servers give a text of more than 255 bytes
 * as bytes, where they had it in a stream.
 */
export function headersFrom(table: Table = {}): MessageHeaders | undefined {
  let entries: [string, unknown][] | undefined;
  for (const name in table) {
    // Most messages have nothing else.
    if (name === SEQUENCE_HEADER || RESERVED.test(name)) continue;
    // What somebody's table named `__proto__` has is inherited.
    if (!Object.hasOwn(table, name)) continue;
    (entries ??= []).push([name === FOUND ? LOST : name, table[name]]);
  }
  return entries && headersOf(entries);
}

function againOf(headers: MessageHeaders): MessageHeaders | undefined {
  return Object.hasOwn(headers, LOST) ? { [FOUND]: headers[LOST]! } : undefined;
}
