/**
 * The LISTEN and NOTIFY sessions of a URL.
 *
 * @module
 */

import type { OutgoingPayload, ServerFacts } from "../../../core/backend/contract.ts";
import { QueueTail } from "../../../core/backend/kit/queue_tail.ts";
import { Link, type Postgres } from "../link.ts";
import type { Renewable } from "../renewed_session.ts";
import { batches, notify, quote } from "../statement.ts";
import type { Settings } from "../url.ts";

/** A session with the server, to publish or to listen. Once lost, it stays lost. */
export interface Session extends Renewable {
  /** Settles once the session is open. */
  readonly ready: Promise<void>;
  /** Called with each notification. */
  onHear: () => void;
  /** Sends a notification for each message, in order. */
  notify(messages: readonly OutgoingPayload[]): readonly Promise<undefined>[];
  /** Listens. Resolves once the server has confirmed. */
  listen(channel: string): Promise<QueueTail>;
  /** Facts about the server. */
  describe(): Promise<ServerFacts>;
  /** Closes the session as lost. Its tails end with the error. */
  cut(error: Error): void;
}

/**
 * The backend's own connection. The client's `listen()` is not used: it reconnects by itself, and
 * does not report that notifications were lost meanwhile.
 */
export class OwnSession implements Session {
  /** See `Session`. */
  onHear: () => void = () => {};
  readonly #link: Link;
  readonly #tails = new Map<string, QueueTail>();

  /**
   * Starts to connect.
   *
   * @param postgres The client library.
   * @param settings The server, and the settings of the client.
   */
  constructor(postgres: Postgres, settings: Settings) {
    this.#link = new Link(postgres, settings, {
      onNotify: (channel, payload) => {
        this.onHear();
        // After UNLISTEN, pending notifications may still come.
        this.#tails.get(channel)?.push({ kind: "record", payload });
      },
      onLost: (error) => {
        for (const tail of this.#tails.values()) tail.error(error);
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

  /** See `Session`. The statements are pipelined. */
  notify(messages: readonly OutgoingPayload[]): readonly Promise<undefined>[] {
    return batches(messages).flatMap((batch) => {
      const accepted = notify(this.#link, batch);
      return batch.map(() => accepted);
    });
  }

  /** See `Session`. */
  async listen(channel: string): Promise<QueueTail> {
    const tail = new QueueTail(async () => {
      if (this.#tails.get(channel) === tail) this.#tails.delete(channel);
      if (!this.lost) await this.#link.run(`unlisten ${quote(channel)}`);
    });
    this.#tails.set(channel, tail);
    try {
      await this.#link.run(`listen ${quote(channel)}`);
    } catch (error) {
      this.#tails.delete(channel);
      throw error;
    }
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
    this.#link.cut(error);
  }

  /** See `Session`. */
  close(): Promise<void> {
    return this.#link.close();
  }
}
