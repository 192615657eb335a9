/**
 * The LISTEN and NOTIFY sessions of the user's client.
 *
 * @module
 */

import type { Sql } from "postgres";
import type { OutgoingPayload, ServerFacts } from "../../../core/backend/contract.ts";
import { QueueTail } from "../../../core/backend/kit/queue_tail.ts";
import { BorrowedLink } from "../borrowed_link.ts";
import { lostError } from "../errors.ts";
import { batches, notify } from "../statement.ts";
import type { Session } from "./session.ts";

/**
 * A session of the user's client. It sends one statement at a time to keep their order. A reserved
 * connection would also keep it, but a statement on a lost one ends the process (postgres 3.4.9).
 */
export class BorrowedSession implements Session {
  /** See `Session`. */
  lost = false;
  /** See `Session`. */
  onHear: () => void = () => {};
  readonly #link: BorrowedLink;
  /** The tails, each with a function that stops its listening. */
  readonly #listening = new Map<QueueTail, () => Promise<void>>();
  readonly #stopping = new Set<Promise<void>>();
  #last: Promise<unknown> = Promise.resolve();

  /** @param client The user's client. */
  constructor(client: Sql) {
    this.#link = new BorrowedLink(client);
  }

  /** See `Session`. */
  get ready(): Promise<void> {
    return this.#link.ready;
  }

  /** See `Session`. */
  notify(messages: readonly OutgoingPayload[]): readonly Promise<undefined>[] {
    return batches(messages).flatMap((batch) => {
      const accepted = this.#last.then(() => notify(this.#link, batch));
      this.#last = accepted.catch(() => {});
      return batch.map(() => accepted);
    });
  }

  /**
   * See `Session`. After a loss, the client listens again by itself. The session still counts as
   * lost, since notifications were lost.
   */
  async listen(channel: string): Promise<QueueTail> {
    let times = 0;
    const tail = new QueueTail(async () => {
      await this.#listening.get(tail)?.();
      this.#listening.delete(tail);
    });
    const stop = await this.#link.listen(channel, {
      onNotify: (payload) => {
        this.onHear();
        tail.push({ kind: "record", payload });
      },
      onListening: () => {
        if (times++ > 0) this.cut(lostError());
      },
    });
    if (this.lost) {
      await stop();
      throw lostError();
    }
    this.#listening.set(tail, stop);
    return tail;
  }

  /** See `Session`. */
  describe(): Promise<ServerFacts> {
    return this.#link.describe();
  }

  /** See `Session`. */
  probe(signal: AbortSignal): Promise<void> {
    return this.#link.probe(signal);
  }

  /** See `Session`. */
  cut(error: Error): void {
    this.lost = true;
    for (const [tail, stop] of this.#listening) {
      tail.error(error);
      const stopped = stop().catch(() => {}).finally(() => this.#stopping.delete(stopped));
      this.#stopping.add(stopped);
    }
    this.#listening.clear();
  }

  /** Waits for the pending statements. The client stays open. */
  async close(): Promise<void> {
    this.cut(lostError());
    await Promise.all([this.#last, ...this.#stopping]);
  }
}
