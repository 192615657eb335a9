/**
 * A tally of deliveries: every reader has to get every message, and none twice.
 *
 * @module
 */

/** How long nothing may arrive, in milliseconds. */
const PATIENCE = 10_000;

/** Counts what each reader has got. */
export class Tally {
  #counts;
  #due = 0;
  #behind = 0;
  #waiting;

  /** @param {number} readers How many there are. */
  constructor(readers) {
    this.#counts = new Array(readers).fill(0);
  }

  /** Whether each reader has got a message at least. */
  get reached() {
    return this.#counts.every((count) => count > 0);
  }

  /** All that was delivered. */
  get sum() {
    return this.#counts.reduce((sum, count) => sum + count, 0);
  }

  /** So many more messages are about to be published. */
  owe(messages) {
    this.#due += messages;
    this.#behind = this.#counts.length;
  }

  /** A reader has got a message. */
  add(reader) {
    this.#reach(++this.#counts[reader]);
  }

  /** A reader has got some messages. No more than it is owed, or it has got one twice. */
  addMany(reader, messages) {
    this.#reach(this.#counts[reader] += messages);
  }

  /** Reads for a reader, as users do. */
  async read(reader, messages) {
    for await (const _ of messages) this.add(reader);
  }

  /** Settles once all readers have got all that they are owed. */
  settle() {
    if (this.#behind > 0) {
      return new Promise((resolve, reject) => this.#waiting = { resolve, reject });
    }
  }

  /**
   * Rejects what waits while nothing arrives. One timer for all: one for each message would cost
   * more than most messages do.
   *
   * @returns What ends the watch.
   */
  watch() {
    let last = -1;
    const timer = setInterval(() => {
      const sum = this.sum;
      if (sum === last) this.#waiting?.reject(this.#error());
      last = sum;
    }, PATIENCE);
    return () => clearInterval(timer);
  }

  /** Throws if any reader has got less or more than it was owed. */
  check() {
    if (this.#counts.some((count) => count !== this.#due)) throw this.#error();
  }

  /** Starts anew: what made sure that all readers are there does not count. */
  reset() {
    this.#counts.fill(0);
    this.#due = this.#behind = 0;
  }

  #reach(count) {
    if (count < this.#due || --this.#behind > 0) return;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.resolve();
  }

  #error() {
    const [least, most] = [Math.min(...this.#counts), Math.max(...this.#counts)];
    const got = least === most ? least : `${least} to ${most}`;
    return new Error(`Cannot finish a race: each reader got ${got} of ${this.#due} messages`);
  }
}
