/**
 * A tail for clients that push: a bounded queue of records.
 *
 * @module
 */

import { inBackground } from "../../util/background.ts";
import type { BackendRecord, Item, Payload, ReadResult, RecordReader, Tail } from "../contract.ts";
import type { Position } from "../position.ts";

/** The limit of the queue in bytes. */
const LIMIT = 16 * 1024 * 1024;
/** The approximate size of a record without payload and headers, in bytes. */
const OVERHEAD = 64;

/** No items; never modified. */
const EMPTY: Item[] = [];

/** The size of a payload in memory, in bytes: at most two for each UTF-16 code unit of a text. */
export function sizeOf(payload: Payload): number {
  return typeof payload === "string" ? payload.length * 2 : payload.length;
}

/** The size of a record's payload and headers in memory, in bytes. */
export function weightOf({ payload, headers }: Pick<BackendRecord, "payload" | "headers">): number {
  let weight = sizeOf(payload);
  for (const name in headers) weight += (name.length + headers[name]!.length) * 2;
  return weight;
}

/** The client pushed more than the queue can hold, and the tail has lost records. */
export class BacklogError extends Error {
  /** Always `"BacklogError"`. */
  override name = "BacklogError";
}

/** Takes the items of a tail, and settles when it ends. */
interface Taker {
  readonly take: (items: readonly Item[]) => Promise<void> | undefined;
  /** Whether `take` is called only once. Later items then wait for the next read. */
  readonly once: boolean;
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
}

/**
 * A tail of pushed records. They are passed on as they arrive, or each read returns everything
 * pushed since the previous one. At most 16 MiB can wait. Beyond that the tail errors, so that the
 * loss is known.
 */
export class QueueTail implements Tail, RecordReader {
  /** The position that the tail starts after, if the backend has a log. */
  readonly position: Position | undefined;
  readonly #unsubscribe: () => Promise<void> | void;
  #waiting: Item[] = EMPTY;
  #bytes = 0;
  #taker: Taker | undefined;
  /** Whether items wait, because nobody reads or the taker has not finished. */
  #isBusy = true;
  #failure: { readonly reason: unknown } | undefined;
  #done = false;

  /**
   * Creates an empty tail.
   *
   * @param unsubscribe Called once when the tail is cancelled, and awaited.
   * @param position The position that the tail starts after, if the backend has a log.
   */
  constructor(unsubscribe: () => Promise<void> | void, position?: Position) {
    this.#unsubscribe = unsubscribe;
    this.position = position;
  }

  /** The reader of the tail: the tail itself. */
  get records(): RecordReader {
    return this;
  }

  /** Adds an item. Does nothing after the tail has ended. */
  push(item: Item): void {
    if (this.#done || this.#failure) return;
    if (!this.#isBusy) return this.#give([item]);
    // An array literal allocates room for one item, but a growing array for seventeen.
    if (this.#waiting.length === 0) this.#waiting = [item];
    else this.#waiting.push(item);
    this.#bytes += (item.kind === "record" ? weightOf(item) : 0) + OVERHEAD;
    if (this.#bytes > LIMIT) {
      this.error(new BacklogError("Cannot hold more records: 16 MiB are waiting"));
    }
  }

  /** Ends the tail with an error, after all pushed items. */
  error(reason: unknown): void {
    this.#failure ??= { reason };
    this.#serve();
  }

  /** Resolves with everything pushed since the last read, once there is any. One read at a time. */
  read(): Promise<ReadResult> {
    return new Promise((resolve, reject) => {
      const take = (value: readonly Item[]) => void resolve({ done: false, value });
      this.#serveTo({ take, once: true, resolve: () => resolve({ done: true }), reject });
    });
  }

  /** Passes all items on. See `RecordReader`. */
  forward(take: (items: readonly Item[]) => Promise<void> | undefined): Promise<void> {
    return new Promise((resolve, reject) => this.#serveTo({ take, once: false, resolve, reject }));
  }

  /** Unsubscribes, unless the tail has ended. A pending read is done. */
  async cancel(): Promise<void> {
    if (this.#done) return;
    this.#done = true;
    this.#serve();
    await this.#unsubscribe();
  }

  #serveTo(taker: Taker): void {
    this.#taker = taker;
    this.#isBusy = false;
    this.#serve();
  }

  /** Passes on the waiting items. A failure comes after all items. */
  #serve(): void {
    while (!this.#isBusy) {
      if (this.#done) return this.#taker!.resolve();
      if (this.#waiting.length > 0) {
        const items = this.#waiting;
        this.#waiting = EMPTY;
        this.#bytes = 0;
        this.#give(items);
      } else if (this.#failure) {
        this.#done = true;
        return this.#taker!.reject(this.#failure.reason);
      } else return;
    }
  }

  /** Passes items on. Items that are pushed meanwhile wait. */
  #give(items: readonly Item[]): void {
    const taker = this.#taker!;
    this.#isBusy = true;
    try {
      const taken = taker.take(items);
      if (taken) return inBackground(this.#await(taken, taker));
    } catch (error) {
      return taker.reject(error);
    }
    if (taker.once) return;
    this.#isBusy = false;
    // The taker itself may have pushed items meanwhile.
    if (this.#waiting !== EMPTY || this.#done || this.#failure) this.#serve();
  }

  async #await(taken: Promise<void>, taker: Taker): Promise<void> {
    try {
      await taken;
    } catch (error) {
      return taker.reject(error);
    }
    this.#isBusy = false;
    this.#serve();
  }
}
