/**
 * One subscriber's stream.
 *
 * @module
 */

import type { BroadcastEvent } from "./event.ts";
import { Cursor } from "./cursor.ts";
import { type EventReader, WITHDRAWN } from "./read.ts";
import { nameOf, type SubscribeTarget } from "./target.ts";

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
  readonly #source: BranchSource<unknown>;

  /**
   * A subscription of a branch; applications get theirs from `subscribe()`.
   *
   * @param target What it is subscribed to.
   * @param branch What it reads.
   */
  constructor(target: SubscribeTarget<Channel>, branch: EventReader<Message>) {
    const source = new BranchSource(branch);
    super(source as UnderlyingDefaultSource<Event>, { highWaterMark: 0 });
    this.target = target;
    this.#source = source as BranchSource<unknown>;
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
    const source = this.#source as BranchSource<Message>;
    return new Cursor<Message, Event>(source, reader, options.preventCancel ?? false);
  }

  /** Iterates over the events as `values()` does. */
  override [Symbol.asyncIterator](
    options: { preventCancel?: boolean } = {},
  ): SubscriptionIterator<Message, Channel, Event> {
    return this.values(options);
  }
}

/** Feeds a stream from a branch, for all readers that are not `for await`. */
export class BranchSource<Message> {
  /** What it reads. */
  readonly branch: EventReader<Message>;
  /** The pull under way, if there is one. */
  pulling: Promise<void> | undefined;
  /** The iterator that holds the stream's lock, if one does. */
  cursor: { release(): void } | undefined;
  #controller!: ReadableStreamDefaultController<BroadcastEvent<Message>>;

  /** @param branch What it reads. */
  constructor(branch: EventReader<Message>) {
    this.branch = branch;
    branch.ending.onEnd = (outcome) => this.#end(outcome);
  }

  /** Keeps the controller. */
  start(controller: ReadableStreamDefaultController<BroadcastEvent<Message>>): void {
    this.#controller = controller;
  }

  /** One read of the stream is one of the branch. */
  pull(): Promise<void> {
    this.pulling = this.#pull();
    return this.pulling;
  }

  /** The reader has left. */
  cancel(): void {
    this.branch.close();
  }

  /** Whether the stream holds an event that a reader asked for and did not wait for. */
  get stranded(): boolean {
    return (this.#controller.desiredSize ?? 0) < 0;
  }

  async #pull(): Promise<void> {
    try {
      const result = await this.branch.next();
      if (result !== WITHDRAWN && !result.done) this.#controller.enqueue(result.value);
    } catch {
      // The branch has told its end already.
    } finally {
      this.pulling = undefined;
    }
  }

  #end(outcome: { readonly error?: unknown }): void {
    try {
      if ("error" in outcome) this.#controller.error(outcome.error);
      else this.#controller.close();
    } catch {
      // It was cancelled: there is nobody left to tell.
    }
    this.cursor?.release();
  }
}
