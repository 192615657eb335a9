/**
 * The LISTEN and NOTIFY sessions of a client that the user has.
 *
 * @module
 */

import type { Sql } from "postgres";
import type { Tail } from "../../../core/backend/contract.ts";
import { QueueTail } from "../../../core/backend/kit/queue_tail.ts";
import { unlessAborted } from "../../../core/util/abort.ts";
import { batches, guard, lostError, statement } from "../statement.ts";
import type { Session } from "./session.ts";

/**
 * A session of a client that the user has. It publishes one statement behind the
 * other: a statement on a reserved connection that was lost ends the process
 * (postgres 3.4.9). Its own `listen()` is used.
 */
export class BorrowedSession implements Session {
  /** See `Session`. */
  readonly lost = false;
  /** See `Session`. */
  readonly ready: Promise<void>;
  readonly #client: Sql;
  readonly #listeners = new Map<string, Listener>();
  #last: Promise<void> = Promise.resolve();

  /** @param client The user's client. */
  constructor(client: Sql) {
    this.#client = client;
    this.ready = guard(client`select 1`);
    this.ready.catch(() => {});
  }

  /** See `Session`. */
  notify(
    channel: string,
    payloads: readonly string[],
  ): readonly Promise<unknown>[] {
    return batches(payloads).flatMap((batch) => {
      const accepted = this.#last.then(() => guard(statement(this.#client, channel, batch)));
      this.#last = accepted.catch(() => {});
      return batch.map(() => accepted);
    });
  }

  /**
   * The client listens again by itself after a loss: that is told as a loss all
   * the same. It cannot take back a listener that it has made again, so there is
   * one per channel, for as long as it lives.
   */
  async listen(channel: string): Promise<Tail> {
    const source = new QueueTail(() => this.#unlisten(channel));
    const known = this.#listeners.get(channel);
    if (known) {
      known.source = source;
      return source;
    }
    const listener: Listener = { source, times: 0 };
    const { unlisten } = await this.#client.listen(
      channel,
      (payload) => listener.source.push({ payload }),
      () => listener.times++ > 0 && listener.source.error(lostError()),
    );
    this.#listeners.set(channel, Object.assign(listener, { unlisten }));
    return source;
  }

  async #unlisten(channel: string): Promise<void> {
    const listener = this.#listeners.get(channel);
    if (listener?.times !== 1) return;
    this.#listeners.delete(channel);
    await listener.unlisten?.();
  }

  /** See `Session`. */
  async probe(signal: AbortSignal): Promise<void> {
    await unlessAborted(signal, this.#client`select 1`);
  }

  /** Waits for what is under way; the client stays open. */
  async close(): Promise<void> {
    await this.#last;
  }
}

/** A listener of the client, who it serves now, and how often the client has made it. */
interface Listener {
  source: QueueTail;
  times: number;
  unlisten?: () => Promise<void>;
}
