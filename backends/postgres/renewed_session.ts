/**
 * A session that is opened when it is first needed, and again after a loss.
 *
 * @module
 */

import { closedError } from "./errors.ts";

/** A session with the server. */
export interface Renewable {
  /** Whether it is of no more use. */
  readonly lost: boolean;
  /** Asks the server for a sign of life; cuts the session if the signal aborts first. */
  probe(signal: AbortSignal): Promise<void>;
  /** Closes it, and resolves once its socket is shut. */
  close(): Promise<void>;
}

/**
 * One session at a time. Unlike the kit's `RenewedConnection`, it has the session while that
 * connects: probes and `close()` reach a server that accepts connections and is silent.
 *
 * @typeParam Session The session.
 */
export class RenewedSession<Session extends Renewable> {
  /** The session that was opened last. */
  current: Session | undefined;
  readonly #open: () => Session;
  /** Sessions that were replaced and are not closed yet. */
  readonly #leaving = new Set<Promise<void>>();
  #closed = false;

  /** @param open Opens a session, which starts to connect. */
  constructor(open: () => Session) {
    this.#open = open;
  }

  /** Whether the session that was opened last is lost. */
  get lost(): boolean {
    return this.current?.lost ?? false;
  }

  /** Number of open sessions: one or none. */
  get count(): number {
    return this.current && !this.current.lost ? 1 : 0;
  }

  /**
   * The session: a new one the first time, and after a loss.
   *
   * @throws {ClosedError} Once it is closed.
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

  /** Closes a session of no use and forgets it, without counting as lost. */
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
