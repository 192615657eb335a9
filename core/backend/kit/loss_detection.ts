/**
 * Detects messages that a broker dropped, by the numbers that publishers put into a header.
 *
 * Where messages have headers, a publisher writes `<nonce>:<n>` into one: the
 * nonce is drawn for each publisher and channel, and n counts. A hole in n is
 * known to be a loss, and of how many.
 *
 * @module
 */

import { random } from "../../util/random.ts";

/** The header, or property, that carries it. */
export const SEQUENCE_HEADER = "broadcaster-sequence";

/** How many publishers and channels are known at most, here and there. */
const KNOWN = 4_096;

const PATTERN = /^([0-9a-z]{12}):(\d{1,15})$/;

/** Counts what one process publishes. */
export class Sequencer {
  readonly #channels = new Map<string, { readonly nonce: string; count: number }>();

  /** The header of the channel's next message. */
  next(channel: string): string {
    const sequence = this.#channels.get(channel) ?? { nonce: random(), count: 0 };
    touch(this.#channels, channel, sequence);
    return `${sequence.nonce}:${++sequence.count}`;
  }
}

/** Follows the counts of all publishers that one tail hears. */
export class SequenceTracker {
  readonly #counts = new Map<string, number>();

  /**
   * A message has come.
   *
   * @param header What its header says, if it has one.
   * @returns How many messages of its publisher were lost right before it.
   */
  missed(header: string | undefined): number {
    const [, nonce, number] = PATTERN.exec(header ?? "") ?? [];
    if (nonce === undefined) return 0;
    const count = Number(number);
    const last = this.#counts.get(nonce);
    // What comes again, or late, was not lost.
    if (last !== undefined && count <= last) return 0;
    touch(this.#counts, nonce, count);
    return last === undefined ? 0 : count - last - 1;
  }
}

/** The longest unused is forgotten: then a loss may go unnoticed, but none is made up. */
function touch<Value>(known: Map<string, Value>, key: string, value: Value): void {
  known.delete(key);
  known.set(key, value);
  if (known.size > KNOWN) known.delete(known.keys().next().value!);
}
