/**
 * Finds requests that a server never answers, on a connection that lives.
 *
 * @module
 */

import { after } from "../../util/timer.ts";

/** The time without any answer after which a request is given up, in milliseconds. */
const LIMIT = 30_000;

/**
 * Gives up a connection on which requests wait and none has been answered for 30 seconds. A server can
 * answer probes and heartbeats, and still never one request: RabbitMQ 3.10, just restarted, was seen to
 * leave one `queue.declare` for a stream unanswered. Many requests that are answered slowly, one after the
 * other, are not affected.
 */
export class AnswerLimit {
  readonly #onSilence: (error: Error) => void;
  readonly #isExcused: () => boolean;
  #waiting = 0;
  #isEnded = false;
  #stop = () => {};

  /**
   * Limits the requests of one connection.
   *
   * @param onSilence Called with the reason once the time is over.
   * @param isExcused Whether the server is known to answer nothing at present; then the time starts again.
   */
  constructor(onSilence: (error: Error) => void, isExcused: () => boolean = () => false) {
    this.#onSilence = onSilence;
    this.#isExcused = isExcused;
  }

  /** Counts a request that was sent. */
  sent(): void {
    if (this.#waiting++ === 0) this.#start();
  }

  /** Counts an answer, or a request that waits no longer. */
  answered(): void {
    this.#stop();
    if (--this.#waiting > 0) this.#start();
  }

  /** Ends it, with the connection. */
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
