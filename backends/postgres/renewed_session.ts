/**
 * A session that is opened at first use, and again after a loss.
 *
 * @module
 */

import { closedError } from "./errors.ts";

/** A session with the server. */
export interface Renewable {
  /** Whether the session is lost. */
  readonly lost: boolean;
  /** Number of open connections, if it may be more than one. */
  readonly connections?: number;
  /** Checks that the server answers. Closes the session if the signal aborts first. */
  probe(signal: AbortSignal): Promise<void>;
  /** Closes the session. Resolves once its socket is closed. */
  close(): Promise<void>;
}

/**
 * One session at a time. Unlike the kit's `RenewedConnection`, it already has the session while
 * that connects. So probes and `close()` reach a server that accepts connections but is silent.
 *
 * @typeParam Session The session.
 */
export class RenewedSession<Session extends Renewable> {
  /** The latest session. */
  current: Session | undefined;
  readonly #open: () => Session;
  /** Replaced sessions that are not closed yet. */
  readonly #leaving = new Set<Promise<void>>();
  #closed = false;

  /** @param open Creates a session, which starts to connect. */
  constructor(open: () => Session) {
    this.#open = open;
  }

  /** Whether the latest session is lost. */
  get lost(): boolean {
    return this.current?.lost ?? false;
  }

  /** Number of open connections. */
  get count(): number {
    return this.current && !this.current.lost ? this.current.connections ?? 1 : 0;
  }

  /**
   * The session. A new one is opened at first use, and after a loss.
   *
   * @throws {ClosedError} After `close()`.
   */
  use(): Session {
    if (this.#closed) throw closedError();
    this.forgetLost();
    return this.current ??= this.#open();
  }

  /** Forgets a lost session. The next use opens another one. */
  forgetLost(): void {
    if (this.current?.lost) this.discard(this.current);
  }

  /** Closes and forgets a useless session, which does not count as lost. */
  discard(session: Session): void {
    if (this.current !== session) return;
    const leaving = session.close().finally(() => this.#leaving.delete(leaving));
    this.#leaving.add(leaving);
    this.current = undefined;
  }

  /** Probes the session, if there is one. */
  async probe(signal: AbortSignal): Promise<void> {
    await this.current?.probe(signal);
  }

  /** Closes the session, and opens no more. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([this.current?.close(), ...this.#leaving]);
  }
}
