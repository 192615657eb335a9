/**
 * Reads the past, on its own connection.
 *
 * @module
 */

import type { Page, ReadOptions, Target } from "../../../core/backend/contract.ts";
import { isPassing } from "../../../core/backend/errors.ts";
import { Gate } from "../../../core/backend/kit/gate.ts";
import { RenewedConnection } from "../../../core/backend/kit/renewed_connection.ts";
import type { Dial } from "../dial.ts";
import { Reader } from "./reader.ts";
import { Store, type StoreOptions } from "./store.ts";

/** The pause before another attempt to open a second connection, in milliseconds. */
const PAUSE = 30_000;

/**
 * The number of pages that are read at a time. Each takes several requests, which have a timeout.
 */
const PAGES = 32;

/** Options for `Past`. */
export interface PastOptions extends StoreOptions {
  /** Connects to the server. */
  readonly dial: Dial;
}

/**
 * Reads pages. A server answers the requests of one connection one after the other, so messages
 * would wait behind pages on the same one. The second connection is opened when a page is first
 * read. If that fails, pages are read on the first one.
 */
export class Past {
  readonly #options: PastOptions;
  readonly #held: RenewedConnection<Reader> = new RenewedConnection(() => this.#open());
  readonly #gate = new Gate(PAGES);
  /** The time of `performance.now()` before which no connection is opened. */
  #next = 0;

  /** @param options Options for reading. */
  constructor(options: PastOptions) {
    this.#options = options;
  }

  /** Number of open connections. */
  get connections(): number {
    return this.#held.count;
  }

  /**
   * Reads a page of a target.
   *
   * @param first Reads on the first connection.
   */
  read(first: Reader, target: Target, options: ReadOptions): Promise<Page> {
    return first.link.unlessLost(this.#gate.pass(() => this.#read(first, target, options)));
  }

  /** Settles as soon as the first connection is lost, so that it does not block the others. */
  async #read(first: Reader, target: Target, options: ReadOptions): Promise<Page> {
    first.link.loss.throwIfAborted();
    const reader = first.link.isBorrowed ? first : await this.#reader(first);
    try {
      return await first.link.unlessLost(reader.read(target, options));
    } catch (error) {
      // The connection may be half-open, so the next attempt opens a new one.
      if (reader !== first && isPassing(error)) reader.link.cut(error);
      throw error;
    }
  }

  /** Sends a PING, and closes the connection if it is not answered. */
  async probe(signal: AbortSignal): Promise<void> {
    await this.#held.current?.link.probe(signal).catch(() => {});
  }

  /** Closes the connection. */
  close(): Promise<void> {
    return this.#held.close();
  }

  async #reader(first: Reader): Promise<Reader> {
    if (performance.now() < this.#next) return first;
    try {
      await first.link.unlessLost(this.#held.renew());
      return this.#held.current!;
    } catch {
      this.#next = performance.now() + PAUSE;
      return first;
    }
  }

  async #open(): Promise<Reader> {
    const link = await this.#options.dial.connect();
    try {
      return new Reader(await Store.open(link, this.#options));
    } catch (error) {
      await link.close();
      throw error;
    }
  }
}
