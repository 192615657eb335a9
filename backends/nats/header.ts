/**
 * The one header that a message has.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { MsgHdrs } from "@nats-io/transport-node";

/** What it takes at most: a line of the protocol, a name and a value. */
export const HEADER_LENGTH = 80;

/** A header without the library: the client only asks for its bytes. */
export function headerOf(name: string, value: string): MsgHdrs {
  const bytes = Buffer.from(`NATS/1.0\r\n${name}: ${value}\r\n\r\n`);
  const headers: Partial<MsgHdrs> & { encode(): Uint8Array } = { encode: () => bytes };
  return headers as unknown as MsgHdrs;
}
