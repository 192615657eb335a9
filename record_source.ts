/**
 * The tail's stream, for clients that push what they receive.
 *
 * @module
 */

import type { BackendRecord, Item, Payload } from "./backend.ts";

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

/**
 * Turns pushed records into a stream of arrays: what was pushed since the last
 * read is one array. Bounded to 16 MiB; past that the stream errors, so that
 * the loss is known.
 */
export class RecordSource {
  /** The stream to give to the core. */
  readonly records: ReadableStream<readonly Item[]>;
  #controller!: ReadableStreamDefaultController<readonly Item[]>;
  #waiting: Item[] = [];
  #bytes = 0;
  /** Whether the core waits for records. */
  #wanted = false;
  #waking = false;
  #failure: { readonly reason: unknown } | undefined;
  #done = false;

  /** @param cancel Unsubscribes; the core's cancelling waits for it. */
  constructor(cancel: () => Promise<void> | void) {
    this.records = new ReadableStream({
      start: (controller) => {
        this.#controller = controller;
      },
      pull: () => this.#pull(),
      cancel: () => {
        this.#done = true;
        return cancel();
      },
    }, { highWaterMark: 0 });
  }

  /** Adds a record. Does nothing once the stream has ended. */
  push(record: Item): void {
    if (this.#done || this.#failure) return;
    this.#waiting.push(record);
    this.#bytes += (record.payload === undefined ? 0 : weightOf(record)) + OVERHEAD;
    if (this.#bytes > LIMIT) {
      this.error(new BacklogError("Cannot hold more records: 16 MiB are waiting"));
    }
    this.#rouse();
  }

  /** Errors the stream, behind the records that were pushed. */
  error(reason: unknown): void {
    this.#failure ??= { reason };
    this.#rouse();
  }

  /** One array or the failure goes out, never both: a stream that errors drops what is queued. */
  #pull(): void {
    this.#wanted = false;
    if (this.#done) return;
    if (this.#waiting.length > 0) {
      const records = this.#waiting;
      this.#waiting = [];
      this.#bytes = 0;
      this.#controller.enqueue(records);
    } else if (this.#failure) {
      this.#done = true;
      this.#controller.error(this.#failure.reason);
    } else this.#wanted = true;
  }

  /** Serves the reader a microtask later, so that what a turn brings travels in one array. */
  #rouse(): void {
    if (!this.#wanted || this.#waking) return;
    this.#waking = true;
    queueMicrotask(() => {
      this.#waking = false;
      this.#pull();
    });
  }
}
