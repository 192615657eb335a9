/**
 * Holds the single connection of a backend, and replaces it when it is lost.
 *
 * @module
 */

import { ClosedError } from "../errors.ts";

/** A connection, or anything with the same lifetime. */
export interface Renewable {
  /** `true` once the connection can no longer be used. */
  readonly lost: boolean;
  /** Closes the connection. Resolves once the sockets are closed. */
  close(): Promise<void>;
}

/**
 * Holds one connection at a time: a lost one is closed before the next is opened. `close()` also
 * closes a connection that is still being opened.
 *
 * @typeParam Value The type of the connection.
 */
export class RenewedConnection<Value extends Renewable> {
  /** The latest connection. */
  current: Value | undefined;
  readonly #open: () => Promise<Value>;
  #opening: Promise<void> | undefined;
  #closed = false;

  /**
   * Creates a holder without a connection.
   *
   * @param open Opens a connection. If it rejects, it must close whatever it has opened.
   */
  constructor(open: () => Promise<Value>) {
    this.#open = open;
  }

  /** `true` if the latest connection is lost. */
  get lost(): boolean {
    return this.current?.lost ?? false;
  }

  /** The number of open connections: one or none. */
  get count(): number {
    return this.current && !this.current.lost ? 1 : 0;
  }

  /** Resolves once there is a connection that is not lost. Rejects after `close()`. */
  async renew(): Promise<void> {
    if (this.#closed) throw new ClosedError("Cannot use backend: it is closed");
    if (this.current && !this.current.lost) return;
    this.#opening ??= this.#next().finally(() => this.#opening = undefined);
    await this.#opening;
  }

  /** Closes the connection, and prevents new ones. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#opening?.catch(() => {});
    await this.current?.close();
  }

  // Closing and opening share one promise, so that `close()` waits for both and finds the new
  // connection.
  async #next(): Promise<void> {
    await this.current?.close();
    this.current = await this.#open();
  }
}
