/**
 * The live end of a topic.
 *
 * @module
 */

import type { BackendRecord, Tail } from "../../backend.ts";

/** What may wait in a tail before its partitions are left out of the fetches. */
const MAX_WAITING = 4 * 1024 * 1024;

/** Its stream is filled on demand: what it cannot hold stays on the broker. */
export class TopicTail implements Tail {
  /** See `Tail`. */
  readonly records: ReadableStream<readonly BackendRecord[]>;
  /** The topic that is read. */
  readonly topic: string;
  /** The partitions that are read. */
  readonly partitions = new Set<number>();
  #controller!: ReadableStreamDefaultController<readonly BackendRecord[]>;
  #failure: { readonly reason: unknown } | undefined;
  #isDone = false;

  /**
   * A tail that is not read yet.
   *
   * @param topic The topic that is read.
   * @param wake Called when it may take more.
   * @param cancel Called when its reader leaves.
   */
  constructor(topic: string, wake: () => void, cancel: () => void) {
    this.topic = topic;
    this.records = new ReadableStream<readonly BackendRecord[]>({
      start: (controller) => {
        this.#controller = controller;
      },
      pull: () => {
        this.#settle();
        wake();
      },
      cancel: () => {
        this.#isDone = true;
        cancel();
        wake();
      },
    }, { highWaterMark: MAX_WAITING, size: sizeOf });
  }

  /** Whether it takes more. */
  get isHungry(): boolean {
    return (this.#controller.desiredSize ?? 0) > 0;
  }

  /** Adds what a fetch brought. */
  push(records: readonly BackendRecord[]): void {
    if (!this.#isDone && !this.#failure) this.#controller.enqueue(records);
  }

  /** Errors the stream, behind what was added. */
  fail(reason: unknown): void {
    this.#failure ??= { reason };
    this.#settle();
  }

  /** A stream that errors drops what is queued: the failure waits until that is read. */
  #settle(): void {
    if (this.#isDone || !this.#failure || this.#controller.desiredSize !== MAX_WAITING) return;
    this.#isDone = true;
    this.#controller.error(this.#failure.reason);
  }
}

function sizeOf(records: readonly BackendRecord[] | undefined): number {
  return (records ?? []).reduce((size, { payload }) => size + payload.length + 100, 0);
}
