/**
 * A tail for clients that push: a bounded queue of records.
 *
 * @module
 */

import type { BackendRecord, Item, Payload, ReadResult, RecordReader, Tail } from "../contract.ts";
import type { Position } from "../position.ts";

/** The limit of the queue in bytes. */
const LIMIT = 16 * 1024 * 1024;
/** The approximate size of a record without payload and headers, in bytes. */
const OVERHEAD = 64;

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

/**
 * A tail of pushed records. Each read returns everything pushed since the previous one. The queue
 * is limited to 16 MiB. Beyond that the tail errors, so that the loss is known.
 */
export class QueueTail implements Tail, RecordReader {
  /** The position that the tail starts after, if the backend has a log. */
  readonly position: Position | undefined;
  readonly #unsubscribe: () => Promise<void> | void;
  #waiting: Item[] = [];
  #bytes = 0;
  /** Resolves the pending read, also with a promise that rejects. */
  #reader: ((batch: ReadResult | Promise<ReadResult>) => void) | undefined;
  #waking = false;
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
    this.#waiting.push(item);
    this.#bytes += (item.kind === "record" ? weightOf(item) : 0) + OVERHEAD;
    if (this.#bytes > LIMIT) {
      this.error(new BacklogError("Cannot hold more records: 16 MiB are waiting"));
    }
    this.#rouse();
  }

  /** Makes reads reject after all pushed items were read. */
  error(reason: unknown): void {
    this.#failure ??= { reason };
    this.#rouse();
  }

  /** Resolves with everything pushed since the last read, once there is any. One read at a time. */
  read(): Promise<ReadResult> {
    return new Promise((resolve) => {
      this.#reader = resolve;
      this.#serve();
    });
  }

  /** Unsubscribes, unless the tail has ended. A pending read is done. */
  async cancel(): Promise<void> {
    if (this.#done) return;
    this.#done = true;
    this.#serve();
    await this.#unsubscribe();
  }

  /** Resolves the pending read, if possible. A failure comes after all items. */
  #serve(): void {
    const reader = this.#reader;
    if (!reader) return;
    if (this.#done) reader({ done: true });
    else if (this.#waiting.length > 0) {
      const value = this.#waiting;
      this.#waiting = [];
      this.#bytes = 0;
      reader({ done: false, value });
    } else if (this.#failure) {
      this.#done = true;
      reader(Promise.reject(this.#failure.reason));
    } else return;
    this.#reader = undefined;
  }

  /** Serves the reader in a microtask, so that all items pushed before then share one array. */
  #rouse(): void {
    if (!this.#reader || this.#waking) return;
    this.#waking = true;
    queueMicrotask(() => {
      this.#waking = false;
      this.#serve();
    });
  }
}
