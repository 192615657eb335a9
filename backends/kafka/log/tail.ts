/**
 * The tail of a topic, or of all topics that match a pattern.
 *
 * @module
 */

import type {
  Item,
  ReadResult,
  RecordReader,
  Tail,
  Target,
} from "../../../core/backend/contract.ts";
import type { Position } from "../../../core/backend/position.ts";
import { weightOf } from "../headers.ts";

/**
 * The maximum size of the waiting items of a tail, in bytes. Beyond that, its partitions are not
 * fetched.
 */
const MAX_WAITING = 4 * 1024 * 1024;
/** The approximate size of an item without its payload, in bytes. */
const OVERHEAD = 100;

/** Options for a tail. */
export interface TopicTailOptions {
  /** The topic, or the pattern. */
  readonly target: Target;
  /** The position to start after. A pattern has none, since no position covers all topics. */
  readonly position?: Position | undefined;
  /** Called when the tail may have room. */
  readonly wake: () => void;
  /** Called when the tail is cancelled. */
  readonly cancel: () => void;
}

/** One topic that a tail reads. */
export interface Share {
  /** The topic. */
  readonly topic: string;
  /** The partitions that are read. */
  readonly partitions: Set<number>;
}

/**
 * The tail of a topic or of a pattern. Records that do not fit into its queue stay on the broker
 * until they are read.
 */
export class TopicTail implements Tail, RecordReader {
  /** See `Tail`. */
  readonly position: Position | undefined;
  /** The topic, or the pattern. */
  readonly target: Target;
  /** The topics that are read. */
  readonly shares = new Map<string, Share>();
  readonly #wake: () => void;
  readonly #cancel: () => void;
  /** Items that were fetched but not read yet: one array for each fetch of a partition. */
  readonly #waiting: (readonly Item[])[] = [];
  #size = 0;
  /** Settles the waiting read. The promise may reject. */
  #reader: ((result: ReadResult | Promise<ReadResult>) => void) | undefined;
  #failure: { readonly reason: unknown } | undefined;
  #isDone = false;

  /** @param options Options for the tail. */
  constructor({ target, position, wake, cancel }: TopicTailOptions) {
    this.target = target;
    this.position = position;
    this.#wake = wake;
    this.#cancel = cancel;
  }

  /** The items of its partitions, one array for each read. */
  get records(): RecordReader {
    return this;
  }

  /** Whether the tail has room. */
  get isHungry(): boolean {
    return this.#size < MAX_WAITING;
  }

  /** Adds a topic. */
  add(topic: string): Share {
    const share = { topic, partitions: new Set<number>() };
    this.shares.set(topic, share);
    return share;
  }

  /** Adds the items of one partition from a fetch. */
  push({ topic }: Share, items: readonly Item[]): void {
    if (this.#isDone || this.#failure) return;
    const told = typeof this.target === "string" ? items : ofPattern(topic, items);
    if (told.length === 0) return;
    this.#waiting.push(told);
    this.#size += sizeOf(told);
    this.#serve();
  }

  /** Makes reads reject, after the items that were added. */
  fail(reason: unknown): void {
    this.#failure ??= { reason };
    this.#serve();
  }

  /** Resolves with the items of the next fetch. One read at a time. */
  read(): Promise<ReadResult> {
    return new Promise((resolve) => {
      this.#reader = resolve;
      this.#serve();
    });
  }

  /** Ends the tail. A pending read is done. */
  cancel(): Promise<void> {
    if (!this.#isDone) {
      this.#isDone = true;
      this.#serve();
      this.#cancel();
      this.#wake();
    }
    return Promise.resolve();
  }

  #serve(): void {
    const reader = this.#reader;
    if (!reader) return;
    if (this.#isDone) reader({ done: true });
    else if (this.#waiting.length > 0) {
      const { isHungry } = this;
      const value = this.#waiting.shift()!;
      this.#size -= sizeOf(value);
      reader({ done: false, value });
      if (!isHungry && this.isHungry) this.#wake();
    } else if (this.#failure) {
      this.#isDone = true;
      reader(Promise.reject(this.#failure.reason));
    } else return;
    this.#reader = undefined;
  }
}

/**
 * The items of a topic without their places, since places of different topics cannot be compared.
 */
function ofPattern(channel: string, items: readonly Item[]): Item[] {
  const told: Item[] = [];
  for (const item of items) {
    if (item.kind === "record") {
      const { place: _, ...record } = item;
      told.push({ ...record, channel });
    } else if (item.kind === "break") {
      const { head: _, ...found } = item;
      told.push(found);
    }
  }
  return told;
}

function sizeOf(items: readonly Item[]): number {
  let size = 0;
  for (const item of items) {
    size += OVERHEAD;
    if (item.kind === "record") size += item.payload.length + weightOf(item.headers);
  }
  return size;
}
