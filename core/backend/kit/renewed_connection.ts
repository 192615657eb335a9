/**
 * Holds the one connection of a backend: closes the lost one before it opens the next.
 *
 * @module
 */

import { ClosedError } from "../errors.ts";

/** A connection, or all that lives as long as one. */
export interface Renewable {
  /** Whether it is of no more use. */
  readonly lost: boolean;
  /** Resolves with its sockets shut. */
  close(): Promise<void>;
}

/**
 * One at a time: a lost one is closed before the next is opened. Closed while
 * it opens one, it leaves none behind.
 *
 * @typeParam Value What is held.
 */
export class RenewedConnection<Value extends Renewable> {
  /** The one that was opened last. */
  current: Value | undefined;
  readonly #open: () => Promise<Value>;
  #opening: Promise<Value> | undefined;
  #closed = false;

  /** @param open Opens one; what it has opened is closed if it rejects. */
  constructor(open: () => Promise<Value>) {
    this.#open = open;
  }

  /** Whether the one that was opened last is lost. */
  get lost(): boolean {
    return this.current?.lost ?? false;
  }

  /** Resolves once there is one that is not lost. */
  async renew(): Promise<void> {
    if (this.#closed) throw new ClosedError("Cannot use backend: it is closed");
    if (this.current && !this.current.lost) return;
    this.#opening ??= this.#next().finally(() => this.#opening = undefined);
    this.current = await this.#opening;
  }

  /** Closes it, and opens no more. */
  async close(): Promise<void> {
    this.#closed = true;
    const held = await this.#opening?.catch(() => undefined) ?? this.current;
    await held?.close();
  }

  // Under way from the first moment on: `close()` must find it.
  async #next(): Promise<Value> {
    await this.current?.close();
    return await this.#open();
  }
}
