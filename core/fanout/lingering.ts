/**
 * Channels without readers that stay open for a while.
 *
 * @module
 */

import { inBackground } from "../util/background.ts";
import type { Pace } from "../util/pace.ts";
import { after } from "../util/timer.ts";

/** A channel that lingers. */
export interface Lingerer {
  /** Closes the channel. */
  stop(): void;
}

/** Closes channels some time after their last subscriber has left, with one timer for all of them. */
export class Lingering {
  readonly #time: number;
  readonly #pace: Pace;
  /** The times at which the channels close, the earliest first. */
  readonly #ends = new Map<Lingerer, number>();
  #stopTimer: (() => void) | undefined;

  /**
   * @param time How long a channel lingers, in milliseconds.
   * @param pace The pace at which channels are closed.
   */
  constructor(time: number, pace: Pace) {
    this.#time = time;
    this.#pace = pace;
  }

  /** Adds a channel whose last subscriber has left. */
  add(channel: Lingerer): void {
    if (this.#time === 0) {
      const turn = this.#pace.enter();
      if (!turn) return channel.stop();
      this.#ends.set(channel, 0);
      return inBackground(turn.then(() => this.#ends.has(channel) && channel.stop()));
    }
    this.#ends.delete(channel);
    this.#ends.set(channel, performance.now() + this.#time);
    this.#stopTimer ??= this.#wait(this.#time);
  }

  /** Removes a channel that has a subscriber again, or is closed. */
  delete(channel: Lingerer): void {
    if (!this.#ends.delete(channel) || this.#ends.size > 0) return;
    this.#stopTimer?.();
    this.#stopTimer = undefined;
  }

  #wait(time: number): () => void {
    return after(time, () => inBackground(this.#sweep()));
  }

  async #sweep(): Promise<void> {
    for (const [channel, end] of this.#ends) {
      const left = end - performance.now();
      if (left > 0) {
        this.#stopTimer?.();
        this.#stopTimer = this.#wait(left);
        return;
      }
      await this.#pace.enter();
      // The channel may have been joined and left again meanwhile.
      if (this.#ends.get(channel) !== end) continue;
      channel.stop();
    }
    this.#stopTimer?.();
    this.#stopTimer = undefined;
  }
}
