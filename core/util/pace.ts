/**
 * The pace of work on many channels: some in each turn of the event loop.
 *
 * @module
 */

import { inBackground } from "./background.ts";
import { turn } from "./timer.ts";

/**
 * The number of calls that begin in one turn: a few milliseconds of work, and enough for one
 * request to the broker.
 */
const BATCH = 64;
/** Calls within this time, in milliseconds, count as one turn, unless others wait. */
const WINDOW = 10;

/**
 * Spreads work over turns of the event loop, so that opening, reopening or closing thousands of
 * channels at once does not block it. Work that begins in one turn can share a request to the
 * broker.
 */
export class Pace {
  readonly #waiting: (() => void)[] = [];
  /** The number of waiting calls that have begun. */
  #begun = 0;
  #left = BATCH;
  #since = -Infinity;

  /** Settles when the caller may begin, in the order of the calls. `undefined` means now. */
  enter(): Promise<void> | undefined {
    if (this.#waiting.length === 0) {
      const now = performance.now();
      if (now - this.#since > WINDOW) {
        this.#since = now;
        this.#left = BATCH;
      }
      if (this.#left-- > 0) return undefined;
      inBackground(this.#run());
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  async #run(): Promise<void> {
    do {
      await turn();
      const end = Math.min(this.#begun + BATCH, this.#waiting.length);
      this.#left = BATCH - (end - this.#begun);
      while (this.#begun < end) this.#waiting[this.#begun++]!();
    } while (this.#begun < this.#waiting.length);
    this.#waiting.length = this.#begun = 0;
    this.#since = performance.now();
  }
}
