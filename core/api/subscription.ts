/**
 * The `Subscription` class: a `ReadableStream` of events.
 *
 * @module
 */

import type { BroadcastEvent } from "../backend/event.ts";
import { nameOf } from "../backend/name.ts";
import { endWith, type EventReader } from "../fanout/reader.ts";
import { SubscriptionCursor } from "./iterator.ts";
import { readOptions } from "./options.ts";
import { SubscriptionSource } from "./stream_source.ts";
import type { SubscribeTarget } from "./target.ts";

/**
 * Iterator of a subscription. Holds the stream's lock until it is done.
 *
 * Concurrent calls of `next()` are resolved in order. `return()` takes effect immediately, even
 * while a `next()` is pending.
 *
 * @typeParam Message Type of the messages.
 * @typeParam Channel Names of the channels.
 * @typeParam Event Type of the events, if it differs per channel.
 */
export interface SubscriptionIterator<
  Message = string,
  Channel extends string = string,
  Event extends BroadcastEvent<Message, Channel> = BroadcastEvent<Message, Channel>,
> extends AsyncIterableIterator<Event, undefined>, AsyncDisposable {
  /** Returns the iterator itself. */
  [Symbol.asyncIterator](): SubscriptionIterator<Message, Channel, Event>;
}

/** Options for the constructor of `Subscription`. */
export interface SubscriptionOptions<Message> {
  /** Ends the subscription with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Event to deliver before the events of the branch. */
  readonly first?: BroadcastEvent<Message> | undefined;
  /** Called for each message that an event stream of the subscription cannot write. */
  readonly onMessageError?: ((channel: string, error: unknown) => void) | undefined;
}

/**
 * A `ReadableStream` of the events of one or several channels.
 *
 * `getReader()`, `pipeThrough()`, `pipeTo()`, `for await` and `cancel()` behave as in the Streams
 * standard; `tee()` returns two subscriptions.
 *
 * A subscription has no buffer of its own: all subscriptions of a channel read one bounded ring. A
 * slow subscription never delays the others. When it falls behind, it reads the log if there is
 * one; otherwise it continues at the oldest buffered event, with a gap that has the exact count.
 *
 * A subscription ends:
 *
 * - when it is closed, cancelled or left with `break`;
 * - when its signal aborts, with the signal's reason as the error;
 * - when events may be missing and `onGap` is `"error"`, with a `GapError`;
 * - when the broker refuses to restore it after a lost connection, with a `RefusedError`;
 * - when the broadcast disconnects, after it has delivered the events that have arrived;
 * - when its channel is ended, with the reason in `endReason`.
 *
 * @typeParam Message Type of the messages.
 * @typeParam Channel Names of the channels.
 * @typeParam Event Type of the events, if it differs per channel.
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
  /** The channel, channels or pattern of the subscription. */
  readonly target: SubscribeTarget<Channel>;
  /** Loosely typed, so that `Subscription<string>` is assignable to `Subscription<unknown>`. */
  readonly #source: SubscriptionSource<unknown>;
  readonly #signal: AbortSignal | undefined;
  /** The results of `tee()`. */
  #branches: readonly { close(): void }[] = [];

  /**
   * Creates a subscription that reads a branch. Applications call `subscribe()` instead.
   *
   * @param target The channel, channels or pattern.
   * @param branch Reader of the events.
   * @param options Additional options.
   */
  constructor(
    target: SubscribeTarget<Channel>,
    branch: EventReader<Message>,
    { signal, first, onMessageError }: SubscriptionOptions<Message> = {},
  ) {
    const source = new SubscriptionSource(branch, first, onMessageError);
    super(source as UnderlyingDefaultSource<Event>, { highWaterMark: 0 });
    this.target = target;
    this.#source = source as SubscriptionSource<unknown>;
    this.#signal = signal;
    if (signal && !branch.ending.outcome) endWith(branch, signal);
  }

  /**
   * Reason of the channel's end, once the subscription has reached it; an empty string if no reason
   * was given. `undefined` before that, and if the subscription ended in another way.
   */
  get endReason(): string | undefined {
    return this.#source.branch.ending.outcome?.end?.reason;
  }

  /**
   * Ends the subscription, even while it is locked. Pending reads resolve as done, and unread events
   * are dropped. After `tee()`, both branches end. Idempotent.
   */
  close(): void {
    this.#source.branch.close();
    for (const branch of this.#branches) branch.close();
  }

  /** Same as `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    this.close();
    return Promise.resolve();
  }

  /**
   * Splits the subscription into two that continue at its position, with any gap it has not yet
   * reported, and receive the same events.
   *
   * Unlike the branches of `ReadableStream.prototype.tee()`, they buffer nothing: each reads at its
   * own pace, and a slow one gets a gap like any subscription.
   *
   * The original is locked. Its `close()` and its signal end both branches; each branch can also be
   * closed by itself.
   *
   * @returns The two subscriptions.
   * @throws {TypeError} If the stream is locked.
   *
   * @example
   * ```ts
   * import { Broadcast } from "@broadcaster/broadcaster";
   * import { eventStreamResponse } from "@broadcaster/broadcaster/sse";
   * import assert from "node:assert/strict";
   *
   * const broadcast = new Broadcast("memory://");
   * const subscription = await broadcast.subscribe("chatroom");
   * const [forBrowser, forLog] = subscription.tee();
   * const response = eventStreamResponse(forBrowser);
   *
   * await broadcast.publish("chatroom", "hello");
   * for await (const event of forLog) {
   *   assert.equal(event.message, "hello");
   *   break; // the response continues
   * }
   * subscription.close(); // ends the response
   * await response.text();
   * await broadcast.disconnect();
   * ```
   */
  override tee(): [
    Subscription<Message, Channel, Event>,
    Subscription<Message, Channel, Event>,
  ] {
    if (this.locked) throw this.#lockedError("tee");
    this.getReader();
    const { branch, stranded: first, onMessageError } = this.#source as SubscriptionSource<Message>;
    const options = { signal: this.#signal, first, onMessageError };
    const branches: ReturnType<typeof this.tee> = [
      new Subscription(this.target, branch.fork(), options),
      new Subscription(this.target, branch.fork(), options),
    ];
    this.#branches = branches;
    branch.close();
    return branches;
  }

  /**
   * Iterates over the events; holds the stream's lock meanwhile. Leaving the loop closes the
   * subscription. Faster than a reader, since it bypasses the stream's queue.
   *
   * @param options Additional options: with `preventCancel`, leaving the loop only releases the
   * lock.
   * @throws {TypeError} If the stream is locked, or `options` is not an object.
   */
  override values(
    options?: { preventCancel?: boolean } | null,
  ): SubscriptionIterator<Message, Channel, Event> {
    const { preventCancel } = readOptions(`iterate over ${nameOf(this.target)}`, options);
    if (this.locked) throw this.#lockedError("iterate over");
    const reader = this.getReader();
    const source = this.#source as SubscriptionSource<Message>;
    return new SubscriptionCursor<Message, Event>(source, reader, Boolean(preventCancel));
  }

  /** Same as `values()`. */
  override [Symbol.asyncIterator](
    options?: { preventCancel?: boolean } | null,
  ): SubscriptionIterator<Message, Channel, Event> {
    return this.values(options);
  }

  #lockedError(verb: string): TypeError {
    const by = this.#branches.length > 0 ? "by tee(), read its branches" : "to a reader";
    return new TypeError(
      `Cannot ${verb} subscription to ${nameOf(this.target)}: it is locked ${by}`,
    );
  }
}
