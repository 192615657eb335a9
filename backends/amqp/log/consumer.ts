/**
 * A consumer of a stream.
 *
 * @module
 */

import type { Channel, ConsumeMessage } from "amqplib";
import { ConnectionError } from "../../../core/backend/errors.ts";
import { after } from "../../../core/util/timer.ts";
import { type Link, onLoss } from "../link.ts";
import { type Stored, storedOf } from "./record.ts";

/** From where on a stream is read. An offset beyond its end brings nothing, ever. */
export type Offset = number | "first" | "last" | "next";

/** How long the server may take to send what it has, in milliseconds. */
export const LIMIT = 5_000;

/** The tag of the only consumer that a channel has. */
const TAG = "view";

/** What a view needs to know. */
export interface ConsumerOptions {
  /** The connection. */
  readonly link: Link;
  /** The stream. */
  readonly queue: string;
  /** Where it begins. */
  readonly from: Offset;
  /** How many messages the server sends ahead. */
  readonly window: number;
  /** Told that there is no such stream any more. */
  readonly onDeleted: () => void;
}

/**
 * Reads a stream from an offset on, as fast as it is asked: what was taken is
 * acknowledged, and makes room for as much. It has a channel of its own, so that
 * what the server refuses it ends nothing else.
 */
export class Consumer {
  readonly #link: Link;
  readonly #channel: Channel;
  readonly #onDeleted: () => void;
  readonly #forget: () => void;
  #waiting: ConsumeMessage[] = [];
  #failure: unknown;
  #awake: () => void = () => {};

  private constructor({ link, onDeleted }: ConsumerOptions, channel: Channel) {
    this.#link = link;
    this.#channel = channel;
    this.#onDeleted = onDeleted;
    this.#forget = onLoss(link, () => this.#fail(link.loss.reason));
    channel.on("close", () => this.#fail(new ConnectionError("the server closed the channel")));
  }

  /** Resolves once the server reads: what is published from then on comes. */
  static async open(options: ConsumerOptions): Promise<Consumer> {
    const { link, queue, from, window } = options;
    const channel = await link.open();
    const view = new Consumer(options, channel);
    try {
      await link.ask(channel.prefetch(window));
      await link.ask(consume(channel, queue, from, (message) => view.#hear(message)));
      // The server says that it reads before it does; what it answers behind that comes after.
      if (from === "next") await link.ask(channel.prefetch(window));
      return view;
    } catch (error) {
      view.#fail(error);
      if (!/\b404\b.*no queue/.test(String(error))) throw error;
      options.onDeleted();
      throw new ConnectionError("the stream was deleted", { cause: error });
    }
  }

  /**
   * What has come since the last time, at least one.
   *
   * @param limit How long that may take, in milliseconds; without it, for ever.
   * @param late Called if it takes longer; without it, the view has failed then.
   */
  async next(limit?: number, late: () => void = () => this.fail()): Promise<readonly Stored[]> {
    const stop = limit === undefined ? () => {} : after(limit, late);
    try {
      while (this.#waiting.length === 0) {
        if (this.#failure) throw this.#failure;
        await new Promise<void>((resolve) => this.#awake = resolve);
      }
    } finally {
      stop();
    }
    const messages = this.#waiting;
    this.#waiting = [];
    // Where nobody hears it any more, the client would throw.
    if (!this.#failure) this.#channel.ack(messages.at(-1)!, true);
    return messages.map(storedOf);
  }

  /** The stream has more, and the server does not send it. */
  fail(): void {
    // What was known of it may be that of another one.
    this.#onDeleted();
    this.#fail(new ConnectionError("the server sent nothing of what the stream has"));
  }

  /** Reads no more. */
  async close(): Promise<void> {
    const isOpen = !this.#failure;
    this.#fail(new ConnectionError("the view was closed"));
    if (isOpen) await this.#link.ask(this.#channel.close());
  }

  #hear(message: ConsumeMessage | null): void {
    if (!message) {
      this.#onDeleted();
      return this.#fail(new ConnectionError("the stream was deleted"));
    }
    this.#waiting.push(message);
    this.#awake();
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
    this.#forget();
    this.#awake();
  }
}

/** What the client has, and its types have not. */
interface Registering {
  registerConsumer(tag: string, hear: (message: ConsumeMessage | null) => void): void;
}

/**
 * Consumes a stream, under a tag that is known before: the server may send what it has before it
 * says that it does, and the client closes a channel with a consumer that it has not heard of.
 */
async function consume(
  channel: Channel,
  queue: string,
  from: Offset,
  hear: (message: ConsumeMessage | null) => void,
): Promise<void> {
  (channel as unknown as Registering).registerConsumer(TAG, hear);
  const options = { consumerTag: TAG, arguments: { "x-stream-offset": from } };
  await channel.consume(queue, hear, options);
}
