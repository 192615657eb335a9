/**
 * Detects messages that a broker dropped, by sequence numbers in a header.
 *
 * On brokers with headers, a publisher sends `<nonce>:<n>` with each message. The nonce is random
 * for each publisher and channel, and n counts up. A hole in n is a loss of known size.
 *
 * @module
 */

import { random } from "../../util/random.ts";

/** The header, or message property, with the sequence number. */
export const SEQUENCE_HEADER = "broadcaster-sequence";

/** The maximum number of channels of a sequencer, and of publishers of a tracker. */
const KNOWN = 4_096;

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
}

/** Tracks the sequence numbers of all publishers that one tail receives. */
export class SequenceTracker {
  readonly #counts = new Map<string, number>();

  /**
   * Records a received message.
   *
   * @param header The value of its header, if it has one.
   * @returns The number of messages of its publisher that were lost right before it.
   */
  missed(header: string | undefined): number {
    const [, nonce, number] = PATTERN.exec(header ?? "") ?? [];
    if (nonce === undefined) return 0;
    const count = Number(number);
    const last = this.#counts.get(nonce);
    // Duplicates and late messages were not lost.
    if (last !== undefined && count <= last) return 0;
    touch(this.#counts, nonce, count);
    return last === undefined ? 0 : count - last - 1;
  }
}

/** Evicts the least recently used: a loss may go unnoticed then, but none is invented. */
function touch<Value>(known: Map<string, Value>, key: string, value: Value): void {
  known.delete(key);
  known.set(key, value);
  if (known.size > KNOWN) known.delete(known.keys().next().value!);
}
