/**
 * The tail of a topic, or of all topics that match a pattern.
 *
 * @module
 */

import type { Item, Tail, Target } from "../../../core/backend/contract.ts";
import type { Position } from "../../../core/backend/position.ts";
import { weightOf } from "../headers.ts";
import { Places } from "../partition_reader.ts";

/** What may wait in a tail before its partitions are left out of the fetches. */
const MAX_WAITING = 4 * 1024 * 1024;

/** What a tail needs to know. */
export interface TopicTailOptions {
  /** The topic, or the pattern. */
  readonly target: Target;
  /** What it begins behind: a pattern, of which no position has all topics, has none. */
  readonly position: Position | undefined;
  /** Called when it may take more. */
  readonly wake: () => void;
  /** Called when its reader leaves. */
  readonly cancel: () => void;
}

/** What a tail has of one topic. */
export interface Share {
  /** The topic. */
  readonly topic: string;
  /** How far each partition was read. */
  readonly places: Places;
  /** The partitions that are read. */
  readonly partitions: Set<number>;
}

/** Its stream is filled on demand: what it cannot hold stays on the broker. */
export class TopicTail implements Tail {
  /** See `Tail`. */
  readonly records: ReadableStream<readonly Item[]>;
  /** See `Tail`. */
  readonly position: Position | undefined;
  /** The topic, or the pattern. */
  readonly target: Target;
  /** The topics that are read. */
  readonly shares = new Map<string, Share>();
  #controller!: ReadableStreamDefaultController<readonly Item[]>;
  #failure: { readonly reason: unknown } | undefined;
  #isDone = false;

  /** @param options What it needs to know. */
  constructor({ target, position, wake, cancel }: TopicTailOptions) {
    this.target = target;
    this.position = position;
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

  /** It reads a topic, too: behind a position. */
  add(topic: string, position: Position): Share {
    const share = { topic, places: new Places(position), partitions: new Set<number>() };
    this.shares.set(topic, share);
    return share;
  }

  /** Adds what a fetch brought of one partition. */
  push({ topic, places }: Share, items: readonly Item[]): void {
    if (this.#isDone || this.#failure) return;
    const last = items.at(-1);
    if (last?.place) places.see(last.place);
    const told = typeof this.target === "string" ? items : ofPattern(topic, items);
    if (told.length > 0) this.#controller.enqueue(told);
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

/** What a topic brings as a pattern tells it: without places, which mean nothing among topics. */
function ofPattern(channel: string, items: readonly Item[]): Item[] {
  const told: Item[] = [];
  for (const item of items) {
    if ("cause" in item) told.push({ cause: item.cause });
    else if (item.payload !== undefined) {
      const { place: _, ...record } = item;
      told.push({ ...record, channel });
    }
  }
  return told;
}

function sizeOf(items: readonly Item[] | undefined): number {
  let size = 0;
  for (const item of items ?? []) {
    size += 100;
    if (item.payload !== undefined) size += item.payload.length + weightOf(item.headers);
  }
  return size;
}
