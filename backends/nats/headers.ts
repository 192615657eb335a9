/**
 * Message headers as NATS headers.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { Msg, MsgHdrs } from "@nats-io/transport-node";
import { headersOf, lengthOfHeaders, type MessageHeaders } from "../../core/backend/headers.ts";
import { SEQUENCE_HEADER } from "../../core/backend/kit/loss_detection.ts";
import { nameOf } from "../../core/backend/name.ts";
import { quote } from "../../core/util/quote.ts";

/**
 * The maximum length of the library's own headers, in bytes: the first line, two names and their
 * values.
 */
export const HEADER_LENGTH = 112;
/**
 * The size of a header without name and value, in bytes: a colon, a space, and the end of the line.
 */
const AROUND = 4;
const FIRST = "NATS/1.0\r\n";
const LAST = "\r\n";
/** Headers that servers interpret, or write themselves. */
const RESERVED = /^nats-/i;

/** Creates headers without the library. The client only asks for their bytes. */
export function headerOf(fields: Readonly<Record<string, string>>): MsgHdrs {
  let text = FIRST;
  for (const name in fields) text += `${name}: ${fields[name]}\r\n`;
  const bytes = Buffer.from(text + LAST);
  const headers: Partial<MsgHdrs> & { encode(): Uint8Array } = { encode: () => bytes };
  return headers as unknown as MsgHdrs;
}

/** The length of a message's headers on the wire, in bytes. */
export function lengthOf(headers: MessageHeaders | undefined): number {
  return headers ? FIRST.length + LAST.length + lengthOfHeaders(headers, AROUND) : 0;
}

/**
 * The headers of a message. Servers pass on invalid headers of other programs, for which the client
 * throws. If it throws in a callback, it reads nothing more.
 */
export function readHeaders(message: Pick<Msg, "headers">): MsgHdrs | undefined {
  try {
    return message.headers;
  } catch {
    return undefined;
  }
}

/** The headers of a message, without the server's. */
export function headersIn(headers: MsgHdrs | undefined): MessageHeaders | undefined {
  if (!headers) return undefined;
  const entries: (readonly [string, string | undefined])[] = [];
  for (const [name, values] of headers) {
    if (name !== SEQUENCE_HEADER && !RESERVED.test(name)) entries.push([name, values.at(-1)]);
  }
  // Most messages have no header but the sequence number.
  return entries.length === 0 ? undefined : headersOf(entries);
}

/**
 * Rejects headers that a server would interpret, and all headers if the server does not support
 * them.
 *
 * @param hasHeaders Whether the server supports headers, if known.
 * @throws {TypeError} If a header cannot be used.
 */
export function checkHeaders(
  name: string,
  channel: string,
  headers: MessageHeaders | undefined,
  hasHeaders = true,
): void {
  if (!headers) return;
  const reserved = Object.keys(headers).find((name) => RESERVED.test(name));
  const reason = !hasHeaders
    ? "the server has no headers"
    : reserved !== undefined
    ? `header ${quote(reserved)} is reserved`
    : undefined;
  if (reason !== undefined) {
    throw new TypeError(`Cannot publish to ${nameOf(channel)} on ${name}: ${reason}`);
  }
}
