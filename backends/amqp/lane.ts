/**
 * An AMQP channel. It is called a lane, since a channel is what events are published to.
 *
 * @module
 */

import type { Channel } from "amqplib";
import { ConnectionError } from "../../core/backend/errors.ts";

/**
 * A lane of a connection. What the server refuses closes it, with all that is
 * under way on it; the next use opens it anew.
 *
 * @typeParam Kind What kind of channel it is.
 */
export class Lane<Kind extends Channel> {
  readonly #make: () => Promise<Kind>;
  readonly #told = new Set<(error: ConnectionError) => void>();
  #channel: Promise<Kind> | undefined;
  /** Why the server has closed it, last. */
  reason: Error | undefined;

  /** @param make Opens it. */
  constructor(make: () => Promise<Kind>) {
    this.#make = make;
  }

  /** Calls back whenever it was closed. Returns what forgets it. */
  onClosed(callback: (error: ConnectionError) => void): () => void {
    this.#told.add(callback);
    return () => void this.#told.delete(callback);
  }

  /** The channel, open; those who ask are answered in their order. */
  open(): Promise<Kind> {
    return this.#channel ??= this.#open();
  }

  /** Closes it, if it is open. */
  async close(): Promise<void> {
    const channel = await this.#channel?.catch(() => undefined);
    if (!channel) return;
    // The client never answers if the connection is closed first, nor to who asks twice.
    const closed = new Promise<void>((resolve) => this.onClosed(() => resolve()));
    channel.close().catch(() => {});
    await closed;
  }

  async #open(): Promise<Kind> {
    let channel: Kind;
    try {
      channel = await this.#make();
    } catch (error) {
      this.#channel = undefined;
      throw error;
    }
    this.reason = undefined;
    channel.on("error", (error) => this.reason = error);
    channel.on("close", () => {
      this.#channel = undefined;
      const cause = this.reason;
      const error = new ConnectionError("the server closed the channel", { cause });
      for (const tell of [...this.#told]) tell(error);
    });
    return channel;
  }
}
