/**
 * The iterator that `for await` holds of a subscription.
 *
 * @module
 */

import type { BroadcastEvent } from "../backend/event.ts";
import type { EventReader } from "../fanout/reader.ts";
import type { SubscriptionSource } from "./stream_source.ts";

/**
 * What `for await` holds: it reads the branch itself, past the stream's queue,
 * while it holds the stream's lock.
 *
 * @typeParam Message What the codec decodes to.
 * @typeParam Event What it gives.
 */
export class SubscriptionCursor<
  Message = string,
  Event extends BroadcastEvent<Message> = BroadcastEvent<Message>,
> implements AsyncIterableIterator<Event, undefined>, AsyncDisposable {
  /** What it reads; for the library itself. */
  readonly branch: EventReader<Message>;
  readonly #source: SubscriptionSource<Message>;
  readonly #preventCancel: boolean;
  #reader: ReadableStreamDefaultReader<Event> | undefined;
  /** Until it settles, an event of an earlier reader may be stranded in the stream's queue. */
  #settling: Promise<unknown> | undefined;
  #left = false;

  /**
   * Made by `values()`.
   *
   * @param source What feeds the stream.
   * @param reader Holds the stream's lock.
   * @param preventCancel Whether leaving only releases the lock.
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
    if (source.pulling) {
      this.branch.withdraw();
      this.#settling = source.pulling;
    } else if (source.stranded) this.#settling = Promise.resolve();
    source.cursor = this;
  }

  /** The next event; calls that overlap are answered in their order. */
  next(): Promise<IteratorResult<Event, undefined>> {
    if (this.#settling !== undefined) return this.#settle();
    if (this.#left) return Promise.resolve({ value: undefined, done: true });
    return this.branch.next() as Promise<IteratorResult<Event, undefined>>;
  }

  /** Leaves: at once, even while a `next()` is pending, which is done then. */
  return(): Promise<IteratorReturnResult<undefined>> {
    if (this.#reader !== undefined) {
      this.#left = true;
      if (this.#preventCancel) {
        this.branch.withdraw();
        this.release();
      } else this.branch.close();
    }
    return Promise.resolve({ value: undefined, done: true });
  }

  /** It is its own iterator. */
  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Does what `return()` does. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  #settle(): Promise<IteratorResult<Event, undefined>> {
    const result = this.#settling!.then(() => {
      if (this.#left) return { value: undefined, done: true as const };
      if (this.#reader && this.#source.stranded) return this.#readStranded(this.#reader);
      return this.branch.next() as Promise<IteratorResult<Event, undefined>>;
    });
    // Not sooner: a call that overlaps would be answered before this one.
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

  /** Gives the stream's lock back; the source does so when the branch ends. */
  release(): void {
    if (this.#source.cursor === this) this.#source.cursor = undefined;
    const reader = this.#reader;
    this.#reader = undefined;
    reader?.releaseLock();
  }
}
