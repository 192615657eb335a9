/**
 * The reason codes of MQTT and the errors of its client, and their meanings.
 *
 * @module
 */

import {
  ConnectionError,
  RefusedError,
  TemporaryError,
  UnknownReplyError,
} from "../../core/backend/errors.ts";
import { quote } from "../../core/util/quote.ts";

/**
 * The meaning of a reason code:
 *
 * - `done`: the request was carried out.
 * - `refused`: this connection, this message or this subscription fails.
 * - `later`: nothing was done, and a retry may help.
 * - `lost`: the connection is closed, and opened again.
 */
export type Meaning = "done" | "refused" | "later" | "lost";

/** The packets that carry reason codes. */
export type Packet =
  | "connack"
  | "puback"
  | "pubrec"
  | "pubrel"
  | "pubcomp"
  | "suback"
  | "unsuback"
  | "disconnect"
  | "auth";

/** The reason codes of MQTT 5, and their meanings. In DISCONNECT, all mean a loss. */
export const REASONS: Readonly<Record<number, readonly [name: string, meaning: Meaning]>> = {
  0x00: ["Success", "done"],
  0x01: ["Granted QoS 1", "done"],
  0x02: ["Granted QoS 2", "done"],
  0x04: ["Disconnect with Will Message", "lost"],
  0x10: ["No matching subscribers", "done"],
  0x11: ["No subscription existed", "done"],
  // The client logs in with a name and a password, so no server may ask for more.
  0x18: ["Continue authentication", "refused"],
  0x19: ["Re-authenticate", "refused"],
  0x80: ["Unspecified error", "refused"],
  0x81: ["Malformed Packet", "refused"],
  0x82: ["Protocol Error", "refused"],
  0x83: ["Implementation specific error", "refused"],
  0x84: ["Unsupported Protocol Version", "refused"],
  0x85: ["Client Identifier not valid", "refused"],
  0x86: ["Bad User Name or Password", "refused"],
  0x87: ["Not authorized", "refused"],
  0x88: ["Server unavailable", "later"],
  0x89: ["Server busy", "later"],
  0x8a: ["Banned", "refused"],
  0x8b: ["Server shutting down", "lost"],
  0x8c: ["Bad authentication method", "refused"],
  0x8d: ["Keep Alive timeout", "lost"],
  0x8e: ["Session taken over", "lost"],
  0x8f: ["Topic Filter invalid", "refused"],
  0x90: ["Topic Name invalid", "refused"],
  0x91: ["Packet Identifier in use", "later"],
  0x92: ["Packet Identifier not found", "lost"],
  0x93: ["Receive Maximum exceeded", "lost"],
  0x94: ["Topic Alias invalid", "lost"],
  0x95: ["Packet too large", "refused"],
  0x96: ["Message rate too high", "later"],
  0x97: ["Quota exceeded", "later"],
  0x98: ["Administrative action", "lost"],
  0x99: ["Payload format invalid", "refused"],
  0x9a: ["Retain not supported", "refused"],
  0x9b: ["QoS not supported", "refused"],
  0x9c: ["Use another server", "refused"],
  0x9d: ["Server moved", "refused"],
  0x9e: ["Shared Subscriptions not supported", "refused"],
  0x9f: ["Connection rate exceeded", "later"],
  0xa0: ["Maximum connect time", "lost"],
  0xa1: ["Subscription Identifiers not supported", "refused"],
  0xa2: ["Wildcard Subscriptions not supported", "refused"],
};

/** The reason code for a client identifier that another client now uses. */
const TAKEN_OVER = 0x8e;

/** The return codes of MQTT 3.1.1, with which older servers answer. */
export const RETURNS: Readonly<Record<number, readonly [name: string, meaning: Meaning]>> = {
  1: ["the server does not speak MQTT 5", "refused"],
  2: ["Identifier rejected", "refused"],
  3: ["Server unavailable", "later"],
  4: ["Bad user name or password", "refused"],
  5: ["Not authorized", "refused"],
};

/** The client's errors about an answer that it cannot read. */
const UNREADABLE =
  /^(?:Invalid|Malformed|Cannot parse|Packet) |^Unknown property|^Not supported|reason code$/;

/** The meaning of a reason code in a packet. */
export function meaningOf(packet: Packet, code: number): Meaning {
  if (packet === "disconnect") return "lost";
  if (packet === "connack" && code > 0 && code < 0x80) return RETURNS[code]?.[1] ?? "refused";
  // An unknown code has a known class: every code from 0x80 on is a failure.
  return REASONS[code]?.[1] ?? (code < 0x80 ? "done" : "refused");
}

/**
 * The error of a request.
 *
 * @param packet The packet that answered it.
 * @param error The error of the client, whose `code` is the reason code. A socket error has a name
 * as its code.
 */
export function explain(packet: Packet, error: Error): Error {
  const { code } = error as { code?: unknown };
  if (typeof code !== "number") return connectionLost(error);
  switch (meaningOf(packet, code)) {
    case "refused":
      return new RefusedError(textOf(packet, error, code), { cause: error });
    case "later":
      return new TemporaryError(error.message, { cause: error });
    default:
      return connectionLost(error);
  }
}

function textOf(packet: Packet, error: Error, code: number): string {
  return packet === "connack" && code === 1 ? RETURNS[1]![0] : error.message;
}

/** Whether the client could not read an answer. The connection is then useless. */
export function isUnreadable(error: unknown): boolean {
  const { code, message } = Object(error) as { code?: unknown; message?: unknown };
  return code === undefined && UNREADABLE.test(String(message));
}

/** The error of a request whose answer the client cannot read. */
export function unreadable(packet: Packet, cause: unknown): Error {
  const { message } = cause as Error;
  return packet === "puback"
    // A server answers in order, and only an answer that refuses the message can be unreadable.
    ? new RefusedError(`the server refuses the message, perhaps as too large: ${message}`, {
      cause,
    })
    : new UnknownReplyError(message, { cause });
}

/** The reason of a server that ends the connection with DISCONNECT. */
export function disconnected(
  code: number = 0,
  { reasonString, serverReference }: { reasonString?: string; serverReference?: string } = {},
): Error {
  const [name] = REASONS[code] ?? [`reason code ${code}`];
  const more = [reasonString, serverReference].filter(Boolean).join(", ");
  return Object.assign(new Error(`${name}${more && ` (${more})`}`), { code });
}

/**
 * The reason why a server closes a connection whose client identifier the user has chosen. Not
 * every server reports that another client has the same identifier.
 */
export function closedFor(clientId: string): Error {
  const shown = quote(clientId);
  const message = `the server closed it, perhaps since another client has the identifier ${shown}`;
  return Object.assign(new Error(message), { code: TAKEN_OVER });
}

/** The error for a connection that was lost or closed. */
export function connectionLost(cause: unknown): ConnectionError {
  const { code, message } = Object(cause) as { code?: unknown; message?: unknown };
  const reason = typeof code === "number" ? `: ${message}` : "";
  return new ConnectionError(`the connection to the server was lost${reason}`, { cause });
}

/** Whether a server ends a connection because of a request, not for reasons of its own. */
export function isFault(code: unknown): boolean {
  return typeof code === "number" && code >= 0x80 && REASONS[code]?.[1] === "refused" &&
    code !== 0x9c && code !== 0x9d;
}
