/**
 * Time that is repeatable, as that of the models is.
 *
 * @module
 */

import { setImmediate } from "node:timers";
import type { Random } from "../../conformance/random.ts";

/** Time that passes only when it is told to. */
export class Clock {
  #now = 0;
  #last = 0;
  readonly #timers = new Map<number, { at: number; callback: () => void }>();
  readonly #real = {
    setTimeout: globalThis.setTimeout,
    clearTimeout: globalThis.clearTimeout,
    now: Date.now,
    random: Math.random,
  };

  /** @param random What `Math.random()` takes from. */
  constructor(random: Random) {
    const start = (callback: () => void, milliseconds = 0) => {
      this.#timers.set(++this.#last, { at: this.#now + milliseconds, callback });
      return this.#last;
    };
    const stop = (timer: number | undefined) => void (timer && this.#timers.delete(timer));
    globalThis.setTimeout = start as unknown as typeof setTimeout;
    globalThis.clearTimeout = stop as unknown as typeof clearTimeout;
    Date.now = performance.now = () => this.#now;
    Math.random = () => random.next();
  }

  /** Lets everything run that waits for no timer. */
  async settle(turns = 2): Promise<void> {
    for (; turns > 0; turns--) await turn();
  }

  /** Lets so much time pass. */
  async pass(milliseconds: number): Promise<void> {
    const end = this.#now + milliseconds;
    for (;;) {
      await this.settle();
      let next: [number, { at: number; callback: () => void }] | undefined;
      for (const entry of this.#timers) {
        if (entry[1].at <= end && (!next || entry[1].at < next[1].at)) next = entry;
      }
      if (!next) break;
      this.#timers.delete(next[0]);
      this.#now = next[1].at;
      next[1].callback();
    }
    this.#now = end;
  }

  /** Gives the real time back. */
  restore(): void {
    globalThis.setTimeout = this.#real.setTimeout;
    globalThis.clearTimeout = this.#real.clearTimeout;
    Date.now = this.#real.now;
    delete (performance as { now?: () => number }).now;
    Math.random = this.#real.random;
  }
}

/** Lets one turn of the event loop pass. */
export function turn(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}

/** Lets so many microtasks pass. */
export async function microtasks(count: number): Promise<void> {
  for (let index = 0; index < count; index++) await null;
}
