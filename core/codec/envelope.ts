/**
 * The two bytes before a payload that is compressed, encrypted, sealed or an end mark.
 *
 * The first byte is `0xC1`. Neither UTF-8 nor MessagePack can begin with it. The second byte is the
 * kind. So subscribers can read wrapped and plain payloads before publishers begin to wrap them.
 *
 * @module
 */

import type { Payload } from "../backend/contract.ts";

const MAGIC = 0xc1;

/** The second byte of an end mark. The reason follows, as UTF-8. */
const END = 0x2e;

/** The maximum length of the reason of an end, in bytes. */
export const LONGEST_REASON = 1_024;

/**
 * The second byte of each kind. `plain` payloads are only prefixed; `sealed` ones are encrypted
 * payloads of the library itself.
 */
export const KINDS = { plain: 0x3d, deflated: 0x7a, encrypted: 0x65, sealed: 0x73 } as const;

/** The kinds of wrapped payloads. */
export type Kind = keyof typeof KINDS;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The payload that ends a channel. */
export function endMark(reason: string): Uint8Array<ArrayBuffer> {
  return concat(Uint8Array.of(MAGIC, END), encoder.encode(reason));
}

/**
 * The reason of an end mark, which may be empty, or `undefined` for any other payload. A payload
 * whose rest is too long or not UTF-8 is a binary message, not an end mark.
 */
export function reasonOfEnd(payload: Payload): string | undefined {
  if (typeof payload === "string" || payload[0] !== MAGIC || payload[1] !== END) return undefined;
  if (payload.length > 2 + LONGEST_REASON) return undefined;
  try {
    return decoder.decode(payload.subarray(2));
  } catch {
    return undefined;
  }
}

/** Returns `true` for wrapped payloads of a kind. */
export function isWrapped(payload: Payload, kind: Kind): payload is Uint8Array<ArrayBuffer> {
  return typeof payload !== "string" && payload[0] === MAGIC && payload[1] === KINDS[kind];
}

/** The bytes of a payload. */
export function bytesOf(payload: Payload): Uint8Array<ArrayBuffer> {
  return typeof payload === "string" ? encoder.encode(payload) : payload as Uint8Array<ArrayBuffer>;
}

/** The two bytes before a wrapped payload. */
export function headOf(kind: Kind): Uint8Array<ArrayBuffer> {
  return Uint8Array.of(MAGIC, KINDS[kind]);
}

/** Concatenates arrays of bytes. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Returns `true` if a payload begins like a wrapped one. */
export function looksWrapped(bytes: Uint8Array): boolean {
  return bytes[0] === MAGIC;
}

/**
 * Unwraps a payload. Returns `undefined` if it is not wrapped.
 *
 * @throws {Error} If the kind is unknown.
 */
export function unwrap(
  payload: Payload,
): { readonly kind: Kind; readonly body: Uint8Array<ArrayBuffer> } | undefined {
  if (typeof payload === "string") {
    // UTF-8 never begins with 0xC1, so strings need no conversion.
    return undefined;
  }
  const bytes = bytesOf(payload);
  if (!looksWrapped(bytes)) return undefined;
  for (const [kind, code] of Object.entries(KINDS)) {
    if (bytes[1] === code) return { kind: kind as Kind, body: bytes.subarray(2) };
  }
  throw new Error("Cannot decode payload: its wrapper is of an unknown kind");
}
