/**
 * The place of a message in a stream, and its fingerprint.
 *
 * @module
 */

import type { MsgHdrs } from "@nats-io/transport-node";
import type { Payload } from "../../../core/backend/contract.ts";
import { fingerprintOf } from "../../../core/backend/kit/fingerprint.ts";
import { SEQUENCE_HEADER } from "../../../core/backend/kit/loss_detection.ts";
import type { Place } from "../../../core/backend/position.ts";

/** The length of an epoch in a fingerprint, and of the check after it. */
const EPOCH = 12;
const CHECK = 4;
/** The number of seconds that half of an epoch can distinguish. */
const SECONDS = 36 ** 6;

/**
 * The place of a sequence.
 *
 * @param at The sequence.
 * @param epoch Distinguishes the stream from an earlier one of the same name.
 * @param check Recognizes the message; empty if unknown.
 */
export function placeOf(at: number, epoch: string, check = ""): Place {
  return { shard: 0, at, sub: 0, fingerprint: epoch + check };
}

/** The epoch of a place: the stream that it belongs to. */
export function epochIn({ fingerprint }: Place): string {
  return fingerprint.slice(0, EPOCH);
}

/** The check of a place, which recognizes its message; empty if unknown. */
export function checkIn({ fingerprint }: Place): string {
  return fingerprint.slice(EPOCH);
}

/** The check of a message: made of its payload, and of its publisher's number. */
export function checkOf(payload: Payload, mark = ""): string {
  return fingerprintOf(payload, mark).slice(-CHECK).padStart(CHECK, "0");
}

/** The check of a stored message. */
export function checkOfStored(data: Uint8Array, headers: MsgHdrs | undefined): string {
  return checkOf(data, headers?.get(SEQUENCE_HEADER));
}

/** The epoch of a stream: its creation time in nanoseconds, which is too large for a number. */
export function epochOf(created: string): string {
  const [, seconds, fraction = ""] = /^(.*?)(?:\.(\d+))?Z$/.exec(created) ?? [];
  const halves = [Date.parse(`${seconds}Z`) / 1_000 % SECONDS, Number(fraction.padEnd(9, "0"))];
  return halves.map((half) => half.toString(36).padStart(EPOCH / 2, "0")).join("");
}
