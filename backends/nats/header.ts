/**
 * The headers that a message has.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { MsgHdrs } from "@nats-io/transport-node";

/** What they take at most: a line of the protocol, two names and values. */
export const HEADER_LENGTH = 112;

/** Headers without the library: the client only asks for their bytes. */
export function headerOf(fields: Readonly<Record<string, string>>): MsgHdrs {
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
  const bytes = Buffer.from(`NATS/1.0\r\n${lines.join("")}\r\n`);
  const headers: Partial<MsgHdrs> & { encode(): Uint8Array } = { encode: () => bytes };
  return headers as unknown as MsgHdrs;
}
