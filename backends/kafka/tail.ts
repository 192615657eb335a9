/**
 * The live end of a topic.
 *
 * @module
 */

import type { Item, Tail } from "../../backend.ts";
import type { Position } from "../../position.ts";
import { Places } from "./lane.ts";

/** What may wait in a tail before its partitions are left out of the fetches. */
const MAX_WAITING = 4 * 1024 * 1024;

/** What a tail needs to know. */
export interface TopicTailOptions {
  /** The topic that is read. */
  readonly topic: string;
  /** What it begins behind. */
  readonly position: Position;
  /** Called when it may take more. */
  readonly wake: () => void;
  /** Called when its reader leaves. */
  readonly cancel: () => void;
}

/** Its stream is filled on demand: what it cannot hold stays on the broker. */
export class TopicTail implements Tail {
  /** See `Tail`. */
  readonly records: ReadableStream<readonly Item[]>;
  /** See `Tail`. */
  readonly position: Position;
  /** The topic that is read. */
  readonly topic: string;
  /** The partitions that are read. */
  readonly partitions = new Set<number>();
  /** How far each of them was read. */
  readonly places: Places;
  #controller!: ReadableStreamDefaultController<readonly Item[]>;
  #failure: { readonly reason: unknown } | undefined;
  #isDone = false;

  /** @param options What it needs to know. */
  constructor({ topic, position, wake, cancel }: TopicTailOptions) {
    this.topic = topic;
    this.position = position;
    this.places = new Places(position);
    this.records = new ReadableStream<readonly Item[]>({
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

  /** Adds what a fetch brought of one partition. */
  push(items: readonly Item[]): void {
    if (items.length === 0 || this.#isDone || this.#failure) return;
    const last = items.at(-1)!;
    if (last.place) this.places.see(last.place);
    this.#controller.enqueue(items);
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

function sizeOf(items: readonly Item[] | undefined): number {
  return (items ?? []).reduce((size, { payload }) => size + (payload?.length ?? 0) + 100, 0);
}
