/**
 * Removes old rows of the log.
 *
 * @module
 */

import { RefusedError } from "../../../core/backend/errors.ts";
import { inBackground } from "../../../core/util/background.ts";
import { after } from "../../../core/util/timer.ts";
import type { Query } from "./database.ts";

/** The pauses between two runs, in milliseconds. */
const SHORTEST = 250;
const LONGEST = 60_000;

/** Removes a batch. Returns the retention of the log, and whether there may be more. */
const TIDY = "select micros::text, ids from broadcaster.store(null, null)";

/**
 * Lets the log remove expired rows, a few at a time. A role that may not publish leaves this to
 * other processes.
 */
export class Retention {
  readonly #query: Query;
  readonly #retention: number | undefined;
  #stop: () => void = () => {};
  #closed = false;

  /**
   * Starts with a pause.
   *
   * @param query Sends statements.
   * @param retention The retention of the URL in milliseconds, if any; 0 for forever.
   */
  constructor(query: Query, retention: number | undefined) {
    this.#query = query;
    this.#retention = retention;
    this.#schedule(retention);
  }

  /** Stops the removal. */
  close(): void {
    this.#closed = true;
    this.#stop();
  }

  #schedule(retention: number | undefined): void {
    if (this.#closed) return;
    const pause = Math.max(SHORTEST, Math.min(LONGEST, (retention ?? 0) / 4 || LONGEST));
    // Jitter, so that processes that started together do not run it together.
    this.#stop = after(
      pause * (0.75 + Math.random() / 2),
      () => inBackground(this.#run(retention)),
    );
  }

  async #run(known: number | undefined): Promise<void> {
    let retention = known;
    try {
      let isMore = true;
      while (isMore && !this.#closed) {
        const [row] = await this.#query(TIDY);
        // The retention of the URL may not be set yet.
        retention = this.#retention ?? Number(row![0]);
        isMore = row![1] === "true";
      }
    } catch (error) {
      if (error instanceof RefusedError) return;
      // The next run tries again.
    }
    this.#schedule(retention);
  }
}
