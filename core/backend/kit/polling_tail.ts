/**
 * A tail for logs that can only be polled.
 *
 * @module
 */

import { positionAfter, withoutRepeatedBreaks } from "../continuity.ts";
import type { Page, ReadOptions, ReadResult, RecordReader, Tail } from "../contract.ts";
import type { Position } from "../position.ts";
import { PageSize } from "./page_size.ts";

/** Options of a polling tail. */
export interface PollingTailOptions {
  /** The position to start after. */
  readonly position: Position;
  /**
   * Reads the page after a position, and re-reads the record at the position itself. Returns fewer
   * items than `limit` only if there are no more.
   */
  readonly read: (options: ReadOptions) => Promise<Page> | Page;
  /** Called when the tail is cancelled. The core awaits it. */
  readonly cancel: () => Promise<void> | void;
}

/**
 * A tail for brokers that store events and only send hints that there are new ones. After each
 * hint it reads from the last record seen. Hints that arrive during a read cause one more read.
 * Needless hints do no harm. Events whose hint was lost arrive with the next hint.
 */
export class PollingTail implements Tail, RecordReader {
  /** The position that the tail started after. */
  readonly position: Position;
  readonly #options: PollingTailOptions;
  #seen: Position;
  readonly #pageSize = new PageSize();
  /** `true` if there may be something to read. */
  #hinted = true;
  #awake: (() => void) | undefined;
  #failure: { readonly reason: unknown } | undefined;
  /** `true` once the tail was cancelled or a read has rejected. */
  #over = false;

  /**
   * Creates a tail that reads once, and then after each hint.
   *
   * @param options Options of the tail.
   */
  constructor(options: PollingTailOptions) {
    this.#options = options;
    this.position = this.#seen = options.position;
  }

  /** The reader of the tail: the tail itself. */
  get records(): RecordReader {
    return this;
  }

  /** Hints that there may be new records. */
  wake(): void {
    this.#hinted = true;
    this.#awake?.();
  }

  /** Makes the next read reject. */
  error(reason: unknown): void {
    this.#failure ??= { reason };
    this.#awake?.();
  }

  /** The position after the last records that were read. */
  get seen(): Position {
    return this.#seen;
  }

  /** Resolves with the next records once there are any. One read at a time. */
  async read(): Promise<ReadResult> {
    try {
      for (;;) {
        if (this.#over) return { done: true };
        if (this.#failure) throw this.#failure.reason;
        if (!this.#hinted) {
          await new Promise<void>((resolve) => this.#awake = resolve);
          continue;
        }
        this.#hinted = false;
        const limit = this.#pageSize.count;
        const { items } = await this.#options.read({ after: this.#seen, limit });
        if (items.length === 0) continue;
        if (items.length >= limit) this.#hinted = true;
        this.#pageSize.learn(items);
        this.#seen = withoutRepeatedBreaks(items).reduce(positionAfter, this.#seen);
        return { done: false, value: items };
      }
    } catch (error) {
      this.#over = true;
      throw error;
    }
  }

  /** Ends the tail. A pending read is done. Does nothing after a read has rejected. */
  async cancel(): Promise<void> {
    if (this.#over) return;
    this.#over = true;
    this.#awake?.();
    await this.#options.cancel();
  }
}
