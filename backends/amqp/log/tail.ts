/**
 * The tail of a stream.
 *
 * @module
 */

import type { Item, Tail } from "../../../core/backend/contract.ts";
import { ConnectionError } from "../../../core/backend/errors.ts";
import type { Place, Position } from "../../../core/backend/position.ts";
import { type Consumer, LIMIT } from "./consumer.ts";
import { isAt, isHole, type Stored } from "./record.ts";

/** What a tail needs to know. */
export interface StreamTailOptions {
  /** What it begins behind. */
  readonly position: Position;
  /** What was read behind that already. */
  readonly items: readonly Item[];
  /** Reads on. */
  readonly view: Consumer;
  /** Whether the stream has something behind an offset. */
  readonly isBeyond: (at: number) => Promise<boolean>;
  /** The last record that was read, which the view brings once more. */
  readonly again?: Place | undefined;
  /** The last record that was read, which it does not. */
  readonly last?: Place | undefined;
}

/** Gives on what a view brings; where that left something out, a gap. */
export class StreamTail implements Tail {
  /** What it began behind. */
  readonly position: Position;
  /** What the stream brings. */
  readonly records: ReadableStream<readonly Item[]>;
  readonly #view: Consumer;
  readonly #isBeyond: (at: number) => Promise<boolean>;
  /** Whether nothing has come since it was known to be at the end. */
  #isSure = true;
  #items: readonly Item[];
  #again: Place | undefined;
  #last: Place | undefined;

  /** @param options What it needs to know. */
  constructor({ position, items, view, isBeyond, again, last }: StreamTailOptions) {
    this.position = position;
    this.#items = items;
    this.#view = view;
    this.#isBeyond = isBeyond;
    this.#again = again;
    this.#last = last;
    this.records = new ReadableStream<readonly Item[]>({
      pull: async (controller) => controller.enqueue(await this.#next()),
      cancel: () => view.close(),
    }, { highWaterMark: 0 });
  }

  async #next(): Promise<readonly Item[]> {
    for (;;) {
      const items = this.#items;
      if (items.length > 0) {
        this.#items = [];
        return items;
      }
      const stored = await this.#hear();
      this.#isSure = false;
      this.#items = stored.flatMap((one) => this.#follow(one));
    }
  }

  #hear(): Promise<readonly Stored[]> {
    // What was read a moment ago comes at once, unless the stream was replaced since.
    if (this.#again) return this.#view.next(LIMIT);
    if (this.#isSure) return this.#view.next();
    return this.#view.next(LIMIT, () => void this.#doubt());
  }

  /** The server takes a reader whose next file it has dropped to be at the end, for ever. */
  async #doubt(): Promise<void> {
    const { at } = this.#last!;
    this.#isSure = true;
    const isOutrun = await this.#isBeyond(at).catch(() => true);
    if (isOutrun && this.#last!.at === at) this.#view.fail();
  }

  #follow(stored: Stored): readonly Item[] {
    const again = this.#again;
    if (again) {
      this.#again = undefined;
      this.#last = again;
      if (isAt(stored, again)) return [];
      if (stored.place.at <= again.at) throw new ConnectionError("the stream was begun anew");
      this.#last = stored.place;
      return [{ cause: "trimmed" }, stored];
    }
    const isBehindHole = isHole(this.#last?.at ?? -1, stored.place.at);
    this.#last = stored.place;
    return isBehindHole ? [{ cause: "trimmed" }, stored] : [stored];
  }
}
