/**
 * Limits the number of concurrent requests.
 *
 * @module
 */

import { deferred } from "../../util/timer.ts";

/**
 * Limits the number of concurrent requests. The others begin in the order of their calls. If a
 * server gets a thousand requests at once, the last ones time out before they are served. Retries
 * would time out as well.
 */
export class Gate {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  /** @param width The maximum number of concurrent requests. */
  constructor(width: number) {
    this.#free = width;
  }

  /** Runs the request once there is room for it, and settles as it does. */
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
