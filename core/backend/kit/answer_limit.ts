/**
 * Detects requests that a server never answers on a live connection.
 *
 * @module
 */

import { after } from "../../util/timer.ts";

/** The time without an answer after which a connection is given up, in milliseconds. */
const LIMIT = 30_000;

/**
 * Gives up a connection if requests are pending and none has been answered for 30 seconds. A server
 * can answer probes and heartbeats, but never a certain request: right after a restart, RabbitMQ
 * 3.10 left a `queue.declare` for a stream unanswered. Slow answers are fine, as long as one
 * arrives in that time.
 */
export class AnswerLimit {
  readonly #onSilence: (error: Error) => void;
  readonly #isExcused: () => boolean;
  #waiting = 0;
  #isEnded = false;
  #stop = () => {};

  /**
   * Creates the limit of one connection.
   *
   * @param onSilence Called with the reason once the time is over.
   * @param isExcused Whether the server is known to be unable to answer now. The time then starts
   * again.
   */
  constructor(onSilence: (error: Error) => void, isExcused: () => boolean = () => false) {
    this.#onSilence = onSilence;
    this.#isExcused = isExcused;
  }

  /** Counts a request that was sent. */
  sent(): void {
    if (this.#waiting++ === 0) this.#start();
  }

  /** Counts an answer, or a request that no longer waits. */
  answered(): void {
    this.#stop();
    if (--this.#waiting > 0) this.#start();
  }

  /** Stops for good. Call it when the connection ends. */
  end(): void {
    this.#stop();
    this.#isEnded = true;
  }

  #start(): void {
    if (this.#isEnded) return;
    this.#stop = after(LIMIT, () => {
      if (this.#isExcused()) return this.#start();
      this.#onSilence(new Error(`the server has not answered a request for ${LIMIT / 1_000} s`));
    });
  }
}
