/**
 * Detects messages that a broker dropped, by sequence numbers in a header.
 *
 * On brokers with headers, a publisher sends `<nonce>:<n>` with each message. The nonce is random
 * for each publisher and channel, and n counts up. A hole in n is a loss of known size.
 *
 * The numbers are not authenticated: any publisher can fake a loss, or hide one. Numbers that do
 * not fit do not disturb the tracking of the real ones.
 *
 * @module
 */

import { random } from "../../util/random.ts";
import type { Loss } from "../contract.ts";

/** The header, or message property, with the sequence number. */
export const SEQUENCE_HEADER = "broadcaster-sequence";

/** The maximum number of channels of a sequencer, and of publishers of a tracker. */
const KNOWN = 4_096;

/** The largest credible loss, and the number of runs that are tracked for each publisher. */
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
   * Takes back the number of a message that the broker has certainly not stored, so that
   * subscribers do not see a loss. Has no effect if a later number of the channel was used since.
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
   * The last number of each run, by nonce, with the most recently continued run first. A publisher
   * has one run. A number that is far from it starts another run, since it may be forged.
   */
  readonly #runs = new Map<string, number[]>();
  /** The nonce and the runs of the last message, which is the most recently used entry. */
  #latest: { readonly nonce: string; readonly runs: number[] } | undefined;

  /**
   * Records a received message.
   *
   * @param header The value of its header, if it has one.
   * @returns The loss right before this message, if there was one. A step that is too large to be
   * credible is a loss of unknown size.
   */
  loss(header: string | undefined): Loss | undefined {
    const latest = this.#latest;
    // Most messages follow the one before them.
    if (latest && header === `${latest.nonce}:${latest.runs[0]! + 1}`) {
      latest.runs[0]!++;
      return undefined;
    }
    const [, nonce, digits] = PATTERN.exec(header ?? "") ?? [];
    if (nonce === undefined) return undefined;
    const number = Number(digits);
    const runs = this.#runs.get(nonce) ?? [];
    touch(this.#runs, nonce, runs);
    this.#latest = { nonce, runs };
    const index = runs.findIndex((last) => Math.abs(number - last) <= LARGEST);
    const last = runs[index];
    if (last === undefined) {
      const isFirst = runs.length === 0;
      // The new run takes the second place, so that many forged numbers replace each other and not
      // the first run.
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

/**
 * Evicts the least recently used entry. A loss may then go unnoticed, but no false loss is
 * reported.
 */
function touch<Value>(known: Map<string, Value>, key: string, value: Value): void {
  known.delete(key);
  known.set(key, value);
  if (known.size > KNOWN) known.delete(known.keys().next().value!);
}
