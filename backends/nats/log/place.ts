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

/** How long an epoch is, and what follows it in a fingerprint. */
const EPOCH = 12;
const CHECK = 4;
/** Seconds that take half of an epoch. */
const SECONDS = 36 ** 6;

/**
 * The place of a sequence.
 *
 * @param at The sequence.
 * @param epoch Tells the stream from the one that had its name before.
 * @param check Recognises the message; empty if nothing is known of it.
 */
export function placeOf(at: number, epoch: string, check = ""): Place {
  return { shard: 0, at, sub: 0, fingerprint: epoch + check };
}

/** Of which stream a place is. */
export function epochIn({ fingerprint }: Place): string {
  return fingerprint.slice(0, EPOCH);
}

/** What recognises the message of a place, if anything is known of it. */
export function checkIn({ fingerprint }: Place): string {
  return fingerprint.slice(EPOCH);
}

/** What recognises a message, of its payload and the number that its publisher gave it. */
export function checkOf(payload: Payload, mark = ""): string {
  return fingerprintOf(payload, mark).slice(-CHECK).padStart(CHECK, "0");
}

/** The same of a message that was stored. */
export function checkOfStored(data: Uint8Array, headers: MsgHdrs | undefined): string {
  return checkOf(data, headers?.get(SEQUENCE_HEADER));
}

/** The epoch of a stream that was created at a time in nanoseconds, which no number holds. */
export function epochOf(created: string): string {
  const [, seconds, fraction = ""] = /^(.*?)(?:\.(\d+))?Z$/.exec(created) ?? [];
  const halves = [Date.parse(`${seconds}Z`) / 1_000 % SECONDS, Number(fraction.padEnd(9, "0"))];
  return halves.map((half) => half.toString(36).padStart(EPOCH / 2, "0")).join("");
}
