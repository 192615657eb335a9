/**
 * Message headers as NATS headers.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { Msg, MsgHdrs } from "@nats-io/transport-node";
import { headersOf, lengthOfHeaders, type MessageHeaders } from "../../core/backend/headers.ts";
import { nameOf } from "../../core/backend/name.ts";
import { quote } from "../../core/util/quote.ts";

/** The length of our own headers at most, in bytes: a line of the protocol, two names and values. */
export const HEADER_LENGTH = 112;
/** The bytes around a header: a colon, a space, and the end of the line. */
const AROUND = 4;
const FIRST = "NATS/1.0\r\n";
const LAST = "\r\n";
/** Headers that servers act upon, or write themselves. */
const RESERVED = /^nats-/i;

/** Makes headers without the library: the client only asks for their bytes. */
export function headerOf(fields: Readonly<Record<string, string>>): MsgHdrs {
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
  const bytes = Buffer.from(`${FIRST}${lines.join("")}${LAST}`);
  const headers: Partial<MsgHdrs> & { encode(): Uint8Array } = { encode: () => bytes };
  return headers as unknown as MsgHdrs;
}

/** The length of a message's headers on the wire, in bytes. */
export function lengthOf(headers: MessageHeaders | undefined): number {
  return headers ? FIRST.length + LAST.length + lengthOfHeaders(headers, AROUND) : 0;
}

/**
 * The headers of a message. Servers pass on whatever other programs write there; for what it cannot
 * read the client throws, and reads nothing more if that happens in a callback.
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
  return headersOf(
    [...headers].flatMap(([name, values]) =>
      RESERVED.test(name) ? [] : [[name, values.at(-1)] as const]
    ),
  );
}

/**
 * Refuses headers that a server would act upon, and all headers if the server has none.
 *
 * @param hasHeaders Whether the server supports headers, where that is known.
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
