/**
 * A consumer of a stream.
 *
 * @module
 */

import type { Channel, ConsumeMessage } from "amqplib";
import { ConnectionError } from "../../errors.ts";
import { random } from "../../id.ts";
import { after } from "../../timer.ts";
import type { Lane } from "../amqp/lane.ts";
import { type Link, onLoss } from "../amqp/link.ts";
import { type Stored, storedOf } from "./stored.ts";

/** From where on a stream is read. An offset beyond its end brings nothing, ever. */
export type Offset = number | "first" | "next";

/** What a view needs to know. */
export interface ViewOptions {
  /** The connection. */
  readonly link: Link;
  /** Where it consumes. */
  readonly lane: Lane<Channel>;
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
 * acknowledged, and makes room for as much.
 */
export class View {
  readonly #link: Link;
  readonly #channel: Channel;
  readonly #onDeleted: () => void;
  /** Who would tell it that nothing comes any more. */
  readonly #forget: (() => void)[];
  readonly #tag = random();
  #waiting: ConsumeMessage[] = [];
  #isClosed = false;
  #failure: unknown;
  #awake: () => void = () => {};

  private constructor({ link, lane, onDeleted }: ViewOptions, channel: Channel) {
    this.#link = link;
    this.#channel = channel;
    this.#onDeleted = onDeleted;
    const fail = (error: unknown) => this.#fail(error);
    this.#forget = [onLoss(link, () => fail(link.loss.reason)), lane.onClosed(fail)];
  }

  /** Resolves once the server reads: what is published from then on comes. */
  static async open(options: ViewOptions): Promise<View> {
    const { link, lane, queue, from, window } = options;
    const channel = await link.ask(lane.open());
    const view = new View(options, channel);
    try {
      await link.ask(Promise.all([
        channel.prefetch(window),
        consume(channel, queue, from, view.#tag, (message) => view.#hear(message)),
        // The server says that it reads before it does; what it answers behind that comes after.
        from === "next" && channel.prefetch(window),
      ]));
      return view;
    } catch (error) {
      view.#leave();
      if (!/\b404\b.*no queue/.test(String(error))) throw error;
      options.onDeleted();
      throw new ConnectionError("the stream was deleted", { cause: error });
    }
  }

  /**
   * What has come since the last time, at least one.
   *
   * @param limit How long that may take, in milliseconds; without it, for ever.
   */
  async next(limit?: number): Promise<readonly Stored[]> {
    const stop = limit === undefined
      ? () => {}
      : after(limit, () =>
        this.#fail(new ConnectionError("the server sent nothing of what the stream has")));
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
    if (!this.#failure) { for (const message of messages) this.#channel.ack(message); }
    return messages.map(storedOf);
  }

  /** Reads no more. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (this.#failure) return;
    this.#fail(new ConnectionError("the view was closed"));
    await this.#link.ask(this.#channel.cancel(this.#tag));
    // The server remembers what it has sent until that is acknowledged; before, it would send more.
    for (const message of this.#waiting.splice(0)) this.#channel.ack(message);
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
    this.#leave();
    this.#awake();
  }

  #leave(): void {
    for (const forget of this.#forget.splice(0)) forget();
  }
}

/** What the client has, and its types have not. */
interface Registering {
  registerConsumer(tag: string, hear: (message: ConsumeMessage | null) => void): void;
  unregisterConsumer(tag: string): void;
}

/**
 * Consumes a stream, under a tag of our own: the server may send what it has before it says that
 * it does, and the client closes a channel with a consumer that it has not heard of.
 */
export async function consume(
  channel: Channel,
  queue: string,
  from: Offset,
  tag: string,
  hear: (message: ConsumeMessage | null) => void,
): Promise<void> {
  const registering = channel as unknown as Registering;
  registering.registerConsumer(tag, hear);
  try {
    const options = { consumerTag: tag, arguments: { "x-stream-offset": from } };
    await channel.consume(queue, hear, options);
  } catch (error) {
    registering.unregisterConsumer(tag);
    throw error;
  }
}
