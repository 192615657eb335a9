/**
 * An AMQP channel. It is called a lane here, to distinguish it from the channels of events.
 *
 * @module
 */

import type { Channel } from "amqplib";
import type { ConnectionError } from "../../core/backend/errors.ts";
import { channelClosed } from "./errors.ts";

/**
 * A lane of a connection. A refused request closes the lane, and fails its pending requests. The
 * next use opens it again.
 *
 * @typeParam Kind The type of the AMQP channel.
 */
export class Lane<Kind extends Channel> {
  readonly #make: () => Promise<Kind>;
  readonly #told = new Set<(error: ConnectionError) => void>();
  #channel: Promise<Kind> | undefined;
  /** The server's latest reason for closing it. */
  reason: Error | undefined;

  /** @param make Opens the AMQP channel. */
  constructor(make: () => Promise<Kind>) {
    this.#make = make;
  }

  /** Calls back each time the lane is closed. Returns a function that removes the callback. */
  onClosed(callback: (error: ConnectionError) => void): () => void {
    this.#told.add(callback);
    return () => void this.#told.delete(callback);
  }

  /** Resolves with the open channel. Callers are answered in order. */
  open(): Promise<Kind> {
    return this.#channel ??= this.#open();
  }

  /** Closes the lane, if it is open. */
  async close(): Promise<void> {
    const channel = await this.#channel?.catch(() => undefined);
    if (!channel) return;
    // The client answers neither a second request to close nor one on a closed connection.
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
