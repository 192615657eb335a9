/**
 * The `Subscription` class: one subscriber's `ReadableStream` of events.
 *
 * @module
 */

import type { BroadcastEvent } from "../backend/event.ts";
import { nameOf } from "../backend/name.ts";
import type { EventReader } from "../fanout/reader.ts";
import { SubscriptionCursor } from "./iterator.ts";
import { SubscriptionSource } from "./stream_source.ts";
import type { SubscribeTarget } from "./target.ts";

/**
 * Iterates over a subscription, and holds its lock meanwhile. Calls of `next()`
 * that overlap are answered in their order; `return()` ends at once, even while
 * a `next()` is pending.
 *
 * @typeParam Message What the codec decodes to.
 * @typeParam Channel The names of the channels.
 * @typeParam Event The events, where each channel has its own.
 */
export interface SubscriptionIterator<
  Message = string,
  Channel extends string = string,
  Event extends BroadcastEvent<Message, Channel> = BroadcastEvent<Message, Channel>,
> extends AsyncIterableIterator<Event, undefined>, AsyncDisposable {
  /** It is its own iterator. */
  [Symbol.asyncIterator](): SubscriptionIterator<Message, Channel, Event>;
}

/**
 * The events of one or several channels, as a `ReadableStream`.
 *
 * `getReader`, `pipeThrough`, `pipeTo`, `tee`, `for await` and `cancel` work as
 * the platform has them. It buffers nothing of its own: all subscriptions of a
 * channel read one bounded ring. One that does not keep up goes on at the
 * oldest event that is held, with a gap that carries the exact count; it never
 * delays the others.
 *
 * It ends when it is closed, cancelled or left by `break`, when its signal
 * aborts (with the signal's reason), and after the last event once the
 * broadcast disconnects.
 *
 * @typeParam Message What the codec decodes to.
 * @typeParam Channel The names of the channels.
 * @typeParam Event The events, where each channel has its own.
 *
 * @example
 * ```ts
 * import { Broadcast } from "@broadcaster/broadcaster";
 * import assert from "node:assert/strict";
 *
 * const broadcast = new Broadcast("memory://");
 * const subscription = await broadcast.subscribe("chatroom");
 * await broadcast.publish("chatroom", "hello");
 * for await (const event of subscription) {
 *   assert.equal(event.message, "hello");
 *   break;
 * }
 * await broadcast.disconnect();
 * ```
 */
export class Subscription<
  Message = string,
  Channel extends string = string,
  Event extends BroadcastEvent<Message, Channel> = BroadcastEvent<Message, Channel>,
> extends ReadableStream<Event> {
  /** The channel, the channels or the pattern that it is subscribed to. */
  readonly target: SubscribeTarget<Channel>;
  /** Typed loosely, so that a subscription of strings is one of unknowns as well. */
  readonly #source: SubscriptionSource<unknown>;

  /**
   * A subscription of a branch; applications get theirs from `subscribe()`.
   *
   * @param target What it is subscribed to.
   * @param branch What it reads.
   */
  constructor(target: SubscribeTarget<Channel>, branch: EventReader<Message>) {
    const source = new SubscriptionSource(branch);
    super(source as UnderlyingDefaultSource<Event>, { highWaterMark: 0 });
    this.target = target;
    this.#source = source as SubscriptionSource<unknown>;
  }

  /**
   * Ends it, whether it is locked or not: whoever reads it is done, and what
   * was not read is dropped. Idempotent.
   */
  close(): void {
    this.#source.branch.close();
  }

  /** Does what `close()` does. */
  [Symbol.asyncDispose](): Promise<void> {
    this.close();
    return Promise.resolve();
  }

  /**
   * Iterates over the events, and holds the stream's lock meanwhile. It reads
   * the ring directly, without the stream machinery. Leaving the loop cancels
   * the subscription.
   *
   * @param options `preventCancel`: leaving the loop only releases the lock.
   * @throws {TypeError} If the stream is locked.
   */
  override values(
    options: { preventCancel?: boolean } = {},
  ): SubscriptionIterator<Message, Channel, Event> {
    if (this.locked) {
      throw new TypeError(
        `Cannot iterate over subscription to ${nameOf(this.target)}: it is locked to a reader`,
      );
    }
    const reader = this.getReader();
    const source = this.#source as SubscriptionSource<Message>;
    return new SubscriptionCursor<Message, Event>(source, reader, options.preventCancel ?? false);
  }

  /** Iterates over the events as `values()` does. */
  override [Symbol.asyncIterator](
    options: { preventCancel?: boolean } = {},
  ): SubscriptionIterator<Message, Channel, Event> {
    return this.values(options);
  }
}
