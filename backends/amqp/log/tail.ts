/**
 * The tail of a stream.
 *
 * @module
 */

import type { Item, ReadResult, RecordReader, Tail } from "../../../core/backend/contract.ts";
import { ConnectionError } from "../../../core/backend/errors.ts";
import type { Place, Position } from "../../../core/backend/position.ts";
import { inBackground } from "../../../core/util/background.ts";
import { type Consumer, LIMIT } from "./consumer.ts";
import { breakBefore, isSame, itemsOf, type Stored } from "./record.ts";

/** Options for the tail of a stream. */
export interface StreamTailOptions {
  /** The position to start after. */
  readonly position: Position;
  /** The items after the position that were read already. */
  readonly items: readonly Item[];
  /** Reads the later items. */
  readonly view: Consumer;
  /** Whether the stream has a record after an offset. */
  readonly isBeyond: (at: number) => Promise<boolean>;
  /** The last record that was read, if the view reads it again. */
  readonly again?: Place | undefined;
  /** The last record that was read, if the view starts after it. */
  readonly last?: Place | undefined;
}

/** Reads the records of a consumer, with a break where records are missing. */
export class StreamTail implements Tail, RecordReader {
  /** The position to start after. */
  readonly position: Position;
  readonly #view: Consumer;
  readonly #isBeyond: (at: number) => Promise<boolean>;
  /** Whether no record has come since the tail was known to be at the end. */
  #isSure = true;
  #isCancelled = false;
  #items: readonly Item[];
  #again: Place | undefined;
  #last: Place | undefined;

  /** @param options Options for the tail. */
  constructor({ position, items, view, isBeyond, again, last }: StreamTailOptions) {
    this.position = position;
    this.#items = items;
    this.#view = view;
    this.#isBeyond = isBeyond;
    this.#again = again;
    this.#last = last;
  }

  /** The records of the stream, one array for each read. */
  get records(): RecordReader {
    return this;
  }

  /** Resolves with the next records. */
  async read(): Promise<ReadResult> {
    try {
      while (this.#items.length === 0) {
        const stored = await this.#receive();
        this.#isSure = false;
        this.#items = this.#follow(stored);
      }
    } catch (error) {
      if (this.#isCancelled) return { done: true };
      this.#view.close().catch(() => {});
      throw error;
    }
    const value = this.#items;
    this.#items = [];
    return { done: false, value };
  }

  /** Closes the consumer. A pending read is done. */
  async cancel(): Promise<void> {
    this.#isCancelled = true;
    await this.#view.close();
  }

  #receive(): Promise<readonly Stored[]> {
    // The record was just read, so it comes back at once, unless the stream was replaced.
    if (this.#again) return this.#view.next(LIMIT);
    if (this.#isSure) return this.#view.next();
    return this.#view.next(LIMIT, () => inBackground(this.#checkEnd()));
  }

  /**
   * Checks that silence means the end of the stream. If the server has dropped the next file of a
   * consumer, it wrongly treats the consumer as being at the end.
   */
  async #checkEnd(): Promise<void> {
    const { at } = this.#last!;
    this.#isSure = true;
    const isOutrun = await this.#isBeyond(at).catch(() => true);
    if (isOutrun && this.#last!.at === at) this.#view.fail();
  }

  #follow(stored: readonly Stored[]): readonly Item[] {
    const again = this.#again;
    const before = again ?? this.#last;
    this.#again = undefined;
    this.#last = stored.at(-1)!.place;
    const [first] = stored;
    if (!again) {
      const { at } = first!.place;
      return before || at <= 1 ? itemsOf(stored, before) : [breakBefore(at), ...itemsOf(stored)];
    }
    if (isSame(first!.place, again)) return itemsOf(stored.slice(1), again);
    // Reading the next page detects the reason.
    if (first!.place.at <= again.at) throw new ConnectionError("the stream was recreated");
    return [breakBefore(first!.place.at, again.at), ...itemsOf(stored)];
  }
}
