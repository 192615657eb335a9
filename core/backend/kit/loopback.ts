/**
 * Proves that messages published on one connection arrive on the subscribing connection.
 *
 * @module
 */

import { onAbort, unlessAborted } from "../../util/abort.ts";
import { random } from "../../util/random.ts";
import { deferred } from "../../util/timer.ts";
import { ConnectionError, RefusedError } from "../errors.ts";

/** Options of a `Loopback`. */
export interface LoopbackOptions {
  /**
   * Publishes a token on the publishing connection, to the subscribing connection. Resolves once
   * the broker has accepted it. Rejects with a `RefusedError` if the user has no right to publish
   * it.
   */
  readonly send: (token: string) => Promise<void>;
  /** The reason shown when a token does not come back, with advice. */
  readonly silence: string;
  /**
   * The time for a token to come back when a session opens, in milliseconds.
   *
   * @default {5_000}
   */
  readonly limit?: number;
}

/**
 * Detects a subscribing connection that receives nothing. It may be half-open, on another server
 * than the publishing connection, or behind a pooler that does not keep its session.
 *
 * Create one for each session of the subscribing connection. A user without the right to publish
 * tokens is not checked.
 */
export class Loopback {
  readonly #options: LoopbackOptions;
  readonly #waiting = new Map<string, () => void>();
  #isProven = false;
  #heard = false;

  /**
   * Creates a loopback for one session.
   *
   * @param options Options of the loopback.
   */
  constructor(options: LoopbackOptions) {
    this.#options = options;
  }

  /** `true` once a token has come back. */
  get isProven(): boolean {
    return this.#isProven;
  }

  /** Reports that the subscribing connection has received something other than a token. */
  hear(): void {
    this.#heard = true;
  }

  /**
   * Reports a received token.
   *
   * @returns `false` if it is the token of another process or session.
   */
  receive(token: string): boolean {
    const resolve = this.#waiting.get(token);
    if (!resolve) return false;
    this.#isProven = this.#heard = true;
    resolve();
    return true;
  }

  /**
   * Sends a token when a session opens, and waits for it.
   *
   * @param wasProven `true` if a token came back on an earlier session of the same backend. Silence
   * then means a lost connection, not a wrong setup.
   * @param signal Aborts the wait with its reason.
   * @throws {RefusedError} If the token does not come back.
   * @throws {ConnectionError} If the token does not come back, but an earlier session was proven.
   */
  async prove(wasProven: boolean, signal?: AbortSignal): Promise<void> {
    const { limit = 5_000, silence } = this.#options;
    const late = new AbortController();
    const timer = setTimeout(
      () =>
        late.abort(
          wasProven ? new ConnectionError(silence) : new RefusedError(silence),
        ),
      limit,
    );
    const forget = signal && onAbort(signal, () => late.abort(signal.reason));
    try {
      signal?.throwIfAborted();
      await this.#send(late.signal);
    } catch (error) {
      // A user without the right to publish cannot be checked.
      if (!(error instanceof RefusedError) || late.signal.aborted) throw error;
    } finally {
      clearTimeout(timer);
      forget?.();
    }
  }

  /**
   * Checks a session that was proven. Sends no token if something was received since the last call.
   *
   * @param signal Aborts the wait with its reason if nothing has come back in time.
   */
  async probe(signal: AbortSignal): Promise<void> {
    const heard = this.#heard;
    this.#heard = false;
    if (heard || !this.#isProven) return;
    await this.#send(signal);
  }

  async #send(signal: AbortSignal): Promise<void> {
    const token = random();
    const { promise: returned, resolve } = deferred();
    this.#waiting.set(token, resolve);
    // A token may come back before the broker has acknowledged it.
    const sent = this.#options.send(token).then(() => returned);
    try {
      await unlessAborted(signal, Promise.race([returned, sent]));
    } finally {
      this.#waiting.delete(token);
    }
  }
}
