/**
 * An AMQP channel. It is called a lane, since a channel is what events are published to.
 *
 * @module
 */

import type { Channel } from "amqplib";
import type { ConnectionError } from "../../core/backend/errors.ts";
import { channelClosed } from "./errors.ts";

/**
 * A lane of a connection. A request that the server refuses closes the lane, with all that is
 * under way on it; the next use opens it again.
 *
 * @typeParam Kind The type of the AMQP channel.
 */
export class Lane<Kind extends Channel> {
  readonly #make: () => Promise<Kind>;
  readonly #told = new Set<(error: ConnectionError) => void>();
  #channel: Promise<Kind> | undefined;
  /** Why the server has closed it last. */
  reason: Error | undefined;

  /** @param make Opens it. */
  constructor(make: () => Promise<Kind>) {
    this.#make = make;
  }

  /** Calls back each time it was closed. Returns a function that removes the callback. */
  onClosed(callback: (error: ConnectionError) => void): () => void {
    this.#told.add(callback);
    return () => void this.#told.delete(callback);
  }

  /** The channel, open. Callers are answered in their order. */
  open(): Promise<Kind> {
    return this.#channel ??= this.#open();
  }

  /** Closes it, if it is open. */
  async close(): Promise<void> {
    const channel = await this.#channel?.catch(() => undefined);
    if (!channel) return;
    // The client never answers if the connection is closed first, nor a second request to close.
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
    // Without a listener, a refusal of the server would end the process.
    channel.on("error", (error) => this.reason = error);
    channel.on("close", () => {
      this.#channel = undefined;
      const error = channelClosed(this.reason);
      for (const tell of [...this.#told]) tell(error);
    });
    return channel;
  }
}
