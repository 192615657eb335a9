/**
 * Where a message lies in a stream, and how it is recognised there.
 *
 * @module
 */

import type { MsgHdrs } from "@nats-io/transport-node";
import type { Payload } from "../../backend.ts";
import type { Place } from "../../position.ts";
import { SEQUENCE_HEADER } from "../../sequence.ts";
import { witnessOf } from "../../witness.ts";

/** How long an epoch is, and what follows it in a witness. */
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
  return { shard: 0, at, sub: 0, witness: epoch + check };
}

/** Of which stream a place is. */
export function epochIn({ witness }: Place): string {
  return witness.slice(0, EPOCH);
}

/** What recognises the message of a place, if anything is known of it. */
export function checkIn({ witness }: Place): string {
  return witness.slice(EPOCH);
}

/** What recognises a message, of its payload and the number that its publisher gave it. */
export function checkOf(payload: Payload, mark = ""): string {
  return witnessOf(payload, mark).slice(-CHECK).padStart(CHECK, "0");
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
