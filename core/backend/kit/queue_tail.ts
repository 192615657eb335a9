/**
 * The tail for clients that push: a bounded queue of records.
 *
 * @module
 */

import type { BackendRecord, Item, Payload, Tail } from "../contract.ts";
import type { Position } from "../position.ts";

/** What may wait between a client that pushes and the core: 16 MiB of payload. */
const LIMIT = 16 * 1024 * 1024;
/** What a record costs besides its payload, about. */
const OVERHEAD = 64;

/** What a payload takes in memory: two bytes for each UTF-16 unit of a text, at most. */
export function sizeOf(payload: Payload): number {
  return typeof payload === "string" ? payload.length * 2 : payload.length;
}

/** What a record carries takes in memory. */
export function weightOf({ payload, headers }: BackendRecord): number {
  let weight = sizeOf(payload);
  for (const name in headers) weight += (name.length + headers[name]!.length) * 2;
  return weight;
}

/** The client pushed more, in one go, than may wait: the tail has lost records. */
export class BacklogError extends Error {
  /** Always `"BacklogError"`. */
  override name = "BacklogError";
}

/** What a read of it brings: an array of items, or the end. */
type Batch = IteratorResult<readonly Item[], undefined>;

/**
 * A tail of pushed records: what was pushed since the last read is one array.
 * Bounded to 16 MiB; past that it errors, so that the loss is known.
 *
 * The core reads it directly, without the stream machinery, as `for await` reads
 * a subscription; for everybody else it is a stream.
 */
export class QueueTail implements Tail {
  /** With a log: what it begins behind. */
  readonly position: Position | undefined;
  readonly #unsubscribe: () => Promise<void> | void;
  #records: ReadableStream<readonly Item[]> | undefined;
  #waiting: Item[] = [];
  #bytes = 0;
  /** Resolves the read that waits for records; with a promise that rejects, too. */
  #reader: ((batch: Batch | Promise<Batch>) => void) | undefined;
  #waking = false;
  #failure: { readonly reason: unknown } | undefined;
  #done = false;

  /**
   * @param unsubscribe Cancelling waits for it.
   * @param position With a log: what it begins behind.
   */
  constructor(unsubscribe: () => Promise<void> | void, position?: Position) {
    this.#unsubscribe = unsubscribe;
    this.position = position;
  }

  /** The stream of what was pushed; not to be mixed with `read()`. */
  get records(): ReadableStream<readonly Item[]> {
    return this.#records ??= new ReadableStream({
      pull: async (controller) => {
        const { done, value } = await this.read();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel: () => this.cancel(),
    }, { highWaterMark: 0 });
  }

  /** Adds a record. Does nothing once it has ended. */
  push(record: Item): void {
    if (this.#done || this.#failure) return;
    this.#waiting.push(record);
    this.#bytes += (record.payload === undefined ? 0 : weightOf(record)) + OVERHEAD;
    if (this.#bytes > LIMIT) {
      this.error(new BacklogError("Cannot hold more records: 16 MiB are waiting"));
    }
    this.#rouse();
  }

  /** It is lost, behind the records that were pushed. */
  error(reason: unknown): void {
    this.#failure ??= { reason };
    this.#rouse();
  }

  /** What was pushed since the last read, once there is something: one read at a time. */
  read(): Promise<Batch> {
    return new Promise((resolve) => {
      this.#reader = resolve;
      this.#serve();
    });
  }

  /** Unsubscribes, unless it has ended; a read that waits is done. */
  async cancel(): Promise<void> {
    if (this.#done) return;
    this.#done = true;
    this.#serve();
    await this.#unsubscribe();
  }

  /** Gives the reader what there is for it: the failure comes behind all records. */
  #serve(): void {
    const reader = this.#reader;
    if (!reader) return;
    if (this.#done) reader({ done: true, value: undefined });
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

  /** Serves the reader a microtask later, so that what a turn brings travels in one array. */
  #rouse(): void {
    if (!this.#reader || this.#waking) return;
    this.#waking = true;
    queueMicrotask(() => {
      this.#waking = false;
      this.#serve();
    });
  }
}
