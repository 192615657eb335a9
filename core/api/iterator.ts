/**
 * Iterator of a subscription, as used by `for await`.
 *
 * @module
 */

import type { BroadcastEvent } from "../backend/event.ts";
import type { EventReader } from "../fanout/reader.ts";
import type { SubscriptionSource } from "./stream_source.ts";

/**
 * Iterator of a subscription. Reads the branch directly, bypassing the stream's queue, while it
 * holds the stream's lock.
 *
 * @typeParam Message Type of the messages.
 * @typeParam Event Type of the events.
 */
export class SubscriptionCursor<
  Message = string,
  Event extends BroadcastEvent<Message> = BroadcastEvent<Message>,
> implements AsyncIterableIterator<Event, undefined>, AsyncDisposable {
  /** Reader of the events; internal. */
  readonly branch: EventReader<Message>;
  readonly #source: SubscriptionSource<Message>;
  readonly #preventCancel: boolean;
  #reader: ReadableStreamDefaultReader<Event> | undefined;
  /** Pending while an event requested by an earlier reader may be in the stream's queue. */
  #settling: Promise<unknown> | undefined;
  #left = false;

  /**
   * Created by `values()`.
   *
   * @param source Source of the stream.
   * @param reader Reader that holds the stream's lock.
   * @param preventCancel Release the lock on `return()`, and keep the subscription open.
   */
  constructor(
    source: SubscriptionSource<Message>,
    reader: ReadableStreamDefaultReader<Event>,
    preventCancel: boolean,
  ) {
    this.branch = source.branch;
    this.#source = source;
    this.#reader = reader;
    this.#preventCancel = preventCancel;
    this.branch.withdraw();
    if (source.stranded) this.#settling = Promise.resolve();
    source.cursor = this;
  }

  /** Called for each message that an event stream of the subscription cannot write. */
  get onMessageError(): ((channel: string, error: unknown) => void) | undefined {
    return this.#source.onMessageError;
  }

  /** Reads the next event. Concurrent calls are resolved in order. */
  next(): Promise<IteratorResult<Event, undefined>> {
    if (this.#settling !== undefined) return this.#settle();
    if (this.#left) return Promise.resolve({ value: undefined, done: true });
    return this.branch.next() as Promise<IteratorResult<Event, undefined>>;
  }

  /**
   * Ends the iteration immediately. A pending `next()` resolves as done. The result has the given
   * value, as in other streams.
   */
  return(value?: unknown): Promise<IteratorReturnResult<undefined>> {
    if (this.#reader !== undefined) {
      this.#left = true;
      if (this.#preventCancel) {
        this.branch.withdraw();
        this.release();
      } else this.branch.close();
    }
    return Promise.resolve({ value: value as undefined, done: true });
  }

  /** Returns the iterator itself. */
  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Same as `return()`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  #settle(): Promise<IteratorResult<Event, undefined>> {
    const result = this.#settling!.then(() => {
      if (this.#left) return { value: undefined, done: true as const };
      if (this.#reader && this.#source.stranded) return this.#readStranded(this.#reader);
      return this.branch.next() as Promise<IteratorResult<Event, undefined>>;
    });
    // `#settling` is cleared last. Otherwise a concurrent call would be resolved before this one.
    const settle = () => {
      if (this.#settling === settled) this.#settling = undefined;
    };
    const settled = result.then(settle, settle);
    this.#settling = settled;
    return result;
  }

  async #readStranded(
    reader: ReadableStreamDefaultReader<Event>,
  ): Promise<IteratorResult<Event, undefined>> {
    const { done, value } = await reader.read();
    return done ? { done, value: undefined } : { done, value };
  }

  /** Releases the stream's lock. The source also calls this when the branch ends. */
  release(): void {
    if (this.#source.cursor === this) this.#source.cursor = undefined;
    const reader = this.#reader;
    this.#reader = undefined;
    reader?.releaseLock();
  }
}
