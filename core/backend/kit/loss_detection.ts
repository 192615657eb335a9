/**
 * Detects messages that a broker dropped, by sequence numbers in a header.
 *
 * On brokers with headers, a publisher sends `<nonce>:<n>` with each message. The nonce is random
 * for each publisher and channel, and n counts up. A hole in n is a loss of known size.
 *
 * Nothing authenticates the numbers: whoever may publish can claim a loss, or hide one. What does not
 * fit at all is met without harm to the real ones.
 *
 * @module
 */

import { random } from "../../util/random.ts";
import type { Loss } from "../contract.ts";

/** The header, or message property, with the sequence number. */
export const SEQUENCE_HEADER = "broadcaster-sequence";

/** The maximum number of channels of a sequencer, and of publishers of a tracker. */
const KNOWN = 4_096;

/** The largest loss that is believed, and the number of runs of one publisher that are followed. */
const LARGEST = 100_000;
const RUNS = 4;

const PATTERN = /^([0-9a-z]{12}):(\d{1,15})$/;

/** Numbers the messages that one process publishes. */
export class Sequencer {
  readonly #channels = new Map<string, { readonly nonce: string; count: number }>();

  /** The header value of the channel's next message. */
  next(channel: string): string {
    const sequence = this.#channels.get(channel) ?? { nonce: random(), count: 0 };
    touch(this.#channels, channel, sequence);
    return `${sequence.nonce}:${++sequence.count}`;
  }

  /**
   * Takes back the number of a message that the broker has certainly not stored, so that it is no
   * loss to subscribers. Has no effect if a later number of the channel was used since.
   *
   * @param channel The channel of the message.
   * @param value The value of its header.
   */
  takeBack(channel: string, value: string): void {
    const sequence = this.#channels.get(channel);
    if (sequence && value === `${sequence.nonce}:${sequence.count}`) sequence.count--;
  }
}

/** Tracks the sequence numbers of all publishers that one tail receives. */
export class SequenceTracker {
  /**
   * By nonce, the newest numbers of its runs, the one that was continued last first. A publisher has
   * one; a number that is far from it begins another, since it may be forged.
   */
  readonly #runs = new Map<string, number[]>();

  /**
   * Records a received message.
   *
   * @param header The value of its header, if it has one.
   * @returns The loss of messages of its publisher right before it, if there was one. A step that is
   * too large to be believed is a loss of unknown size.
   */
  loss(header: string | undefined): Loss | undefined {
    const [, nonce, digits] = PATTERN.exec(header ?? "") ?? [];
    if (nonce === undefined) return undefined;
    const number = Number(digits);
    const runs = this.#runs.get(nonce) ?? [];
    touch(this.#runs, nonce, runs);
    const index = runs.findIndex((last) => Math.abs(number - last) <= LARGEST);
    const last = runs[index];
    if (last === undefined) {
      const isFirst = runs.length === 0;
      // Behind the run that was continued last: many such numbers replace each other, not that one.
      runs.splice(1, 0, number);
      if (runs.length > RUNS) runs.pop();
      return isFirst ? undefined : { kind: "loss" };
    }
    runs.splice(index, 1);
    runs.unshift(Math.max(last, number));
    // Duplicates and late messages were not lost.
    return number - last > 1 ? { kind: "loss", missed: number - last - 1 } : undefined;
  }
}

/** Evicts the least recently used: a loss may go unnoticed then, but none is invented. */
function touch<Value>(known: Map<string, Value>, key: string, value: Value): void {
  known.delete(key);
  known.set(key, value);
  if (known.size > KNOWN) known.delete(known.keys().next().value!);
}
