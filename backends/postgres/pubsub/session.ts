/**
 * The LISTEN and NOTIFY sessions of a URL.
 *
 * @module
 */

import type { Tail } from "../../../core/backend/contract.ts";
import { QueueTail } from "../../../core/backend/kit/queue_tail.ts";
import { Link, type Postgres } from "../link.ts";
import type { Settings } from "../settings.ts";
import { batches, guard, quote, statement } from "../statement.ts";

/** One role's session with the server. Once it is lost, it stays so. */
export interface Session {
  /** Whether it was open, or was to be, and is not any more. */
  readonly lost: boolean;
  /** Settles once it is open. */
  readonly ready: Promise<void>;
  /** Sends a notification for each payload, in order. */
  notify(channel: string, payloads: readonly string[]): readonly Promise<unknown>[];
  /** Listens, and resolves once the server has confirmed. */
  listen(channel: string): Promise<Tail>;
  /** Asks the server for a sign of life; cuts the session if the signal aborts first. */
  probe(signal: AbortSignal): Promise<void>;
  /** Ends it, and resolves once its socket is shut. */
  close(): Promise<void>;
}

/**
 * A session of our own: one connection that is never made again. Not the
 * client's own `listen()`, which listens again by itself and says nothing of
 * what it lost in between.
 */
export class OwnSession implements Session {
  readonly #link: Link;
  readonly #tails = new Map<string, QueueTail>();

  /**
   * @param postgres The client library.
   * @param settings Where to connect.
   */
  constructor(postgres: Postgres, settings: Settings) {
    this.#link = new Link(postgres, settings, {
      // A channel that nobody listens to any more may still bring what was under way.
      onNotify: (channel, payload) => this.#tails.get(channel)?.push({ payload }),
      onLost: (error) => {
        for (const source of this.#tails.values()) source.error(error);
        this.#tails.clear();
      },
    });
  }

  /** See `Session`. */
  get lost(): boolean {
    return this.#link.lost;
  }

  /** See `Session`. */
  get ready(): Promise<void> {
    return this.#link.ready;
  }

  /** See `Session`. */
  notify(channel: string, payloads: readonly string[]): readonly Promise<unknown>[] {
    return batches(payloads).flatMap((batch) => {
      const accepted = guard(statement(this.#link.sql, channel, batch));
      return batch.map(() => accepted);
    });
  }

  /** See `Session`. */
  async listen(channel: string): Promise<Tail> {
    const source = new QueueTail(async () => {
      if (this.#tails.get(channel) === source) this.#tails.delete(channel);
      if (!this.lost) await this.#link.sql.unsafe(`unlisten ${quote(channel)}`);
    });
    this.#tails.set(channel, source);
    try {
      await guard(this.#link.sql.unsafe(`listen ${quote(channel)}`));
    } catch (error) {
      this.#tails.delete(channel);
      throw error;
    }
    return source;
  }

  /** See `Session`. */
  probe(signal: AbortSignal): Promise<void> {
    return this.#link.probe(signal);
  }

  /** See `Session`. */
  close(): Promise<void> {
    return this.#link.close();
  }
}
