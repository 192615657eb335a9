/**
 * The two bytes in front of a payload that is compressed, encrypted or an end marker.
 *
 * A wrapped payload begins with the byte `0xC1`, which begins no UTF-8 text and
 * no MessagePack, and with one that says what it is. So a subscriber reads both,
 * and publishers can begin to wrap after it.
 *
 * @module
 */

import type { Payload } from "../backend/contract.ts";

const MAGIC = 0xc1;

/** What ends a channel: it wraps nothing. */
export const END: Uint8Array = Uint8Array.of(MAGIC, 0x2e);

/** Whether a payload is what ends a channel. */
export function isEnd(payload: Payload): boolean {
  return typeof payload !== "string" && payload.length === END.length &&
    payload[0] === END[0] && payload[1] === END[1];
}

/** How a payload is wrapped: not at all but for these two bytes, compressed, encrypted. */
export const KINDS = { plain: 0x3d, deflated: 0x7a, encrypted: 0x65 } as const;

/** How a payload is wrapped. */
export type Kind = keyof typeof KINDS;

const encoder = new TextEncoder();

/** The bytes of a payload. */
export function bytesOf(payload: Payload): Uint8Array<ArrayBuffer> {
  return typeof payload === "string" ? encoder.encode(payload) : payload as Uint8Array<ArrayBuffer>;
}

/** What begins a wrapped payload. */
export function headOf(kind: Kind): Uint8Array<ArrayBuffer> {
  return Uint8Array.of(MAGIC, KINDS[kind]);
}

/** Puts bytes behind one another. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Whether a payload would be taken for a wrapped one. */
export function looksWrapped(bytes: Uint8Array): boolean {
  return bytes[0] === MAGIC;
}

/**
 * What is wrapped, and how; `undefined` if it is not wrapped.
 *
 * @throws {Error} If it is wrapped in a way that nobody knows.
 */
export function unwrap(
  payload: Payload,
): { readonly kind: Kind; readonly body: Uint8Array<ArrayBuffer> } | undefined {
  if (typeof payload === "string") {
    // No text begins with that byte, and none is made into bytes to see.
    return undefined;
  }
  const bytes = bytesOf(payload);
  if (!looksWrapped(bytes)) return undefined;
  for (const [kind, code] of Object.entries(KINDS)) {
    if (bytes[1] === code) return { kind: kind as Kind, body: bytes.subarray(2) };
  }
  throw new Error("Cannot decode payload: it is wrapped in a way that is not known");
}
