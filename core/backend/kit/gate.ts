/**
 * Bounds how many requests wait for answers.
 *
 * @module
 */

import { deferred } from "../../util/timer.ts";

/**
 * Lets a number of requests be under way at a time; the others begin in the order of their calls. A
 * server answers a thousand requests that come at once in their turn, and the last of them after
 * their timeout: repeated, they would never be answered.
 */
export class Gate {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  /** @param width How many are under way at most. */
  constructor(width: number) {
    this.#free = width;
  }

  /** Settles as the request does, which begins once there is room for it. */
  async pass<Answer>(request: () => Promise<Answer>): Promise<Answer> {
    if (this.#free > 0) this.#free--;
    else {
      const { promise, resolve } = deferred();
      this.#waiting.push(resolve);
      await promise;
    }
    try {
      return await request();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free++;
    }
  }
}
