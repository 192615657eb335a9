/**
 * The LISTEN and NOTIFY sessions of a client that the user gives.
 *
 * @module
 */

import type { Sql } from "postgres";
import type { OutgoingPayload, Tail } from "../../../core/backend/contract.ts";
import { QueueTail } from "../../../core/backend/kit/queue_tail.ts";
import { unlessAborted } from "../../../core/util/abort.ts";
import { answered, lostError } from "../errors.ts";
import { batches, notify } from "../statement.ts";
import type { Session } from "./session.ts";

/**
 * A session of a client that the user gives. It sends one statement at a time to keep their
 * order: a reserved connection would keep it too, but a statement on one that was lost ends the
 * process (postgres 3.4.9).
 */
export class BorrowedSession implements Session {
  /** See `Session`. The client reconnects by itself. */
  readonly lost = false;
  /** See `Session`. */
  readonly ready: Promise<void>;
  readonly #client: Sql;
  readonly #listeners = new Map<string, Listener>();
  #last: Promise<unknown> = Promise.resolve();

  /** @param client The user's client. */
  constructor(client: Sql) {
    this.#client = client;
    this.ready = answered(client`select 1`).then(() => {});
    this.ready.catch(() => {});
  }

  /** See `Session`. */
  notify(messages: readonly OutgoingPayload[]): readonly Promise<undefined>[] {
    return batches(messages).flatMap((batch) => {
      const accepted = this.#last.then(() => notify(this.#client, batch));
      this.#last = accepted.catch(() => {});
      return batch.map(() => accepted);
    });
  }

  /**
   * See `Session`. After a loss the client listens again by itself; the tail errors all the same,
   * since notifications were lost. The client cannot remove a listener that it has made again, so
   * each channel keeps one for as long as the session lives.
   */
  async listen(channel: string): Promise<Tail> {
    const tail = new QueueTail(() => this.#unlisten(channel));
    const known = this.#listeners.get(channel);
    if (known) {
      known.tail = tail;
      return tail;
    }
    const listener: Listener = { tail, times: 0 };
    const { unlisten } = await this.#client.listen(
      channel,
      (payload) => listener.tail.push({ kind: "record", payload }),
      () => listener.times++ > 0 && listener.tail.error(lostError()),
    );
    this.#listeners.set(channel, Object.assign(listener, { unlisten }));
    return tail;
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

  /** Waits for the statements under way; the client stays open. */
  async close(): Promise<void> {
    await this.#last;
  }
}

/** A listener of the client. */
interface Listener {
  /** The tail that it feeds now. */
  tail: QueueTail;
  /** How often the client has made it. */
  times: number;
  unlisten?: () => Promise<void>;
}
