/**
 * The live end of a stream.
 *
 * @module
 */

import type { Item, Tail } from "../../backend.ts";
import { ConnectionError } from "../../errors.ts";
import type { Place, Position } from "../../position.ts";
import { isAt, isHole, type Stored } from "./stored.ts";
import { LIMIT, type View } from "./view.ts";

/** What a tail needs to know. */
export interface StreamTailOptions {
  /** What it begins behind. */
  readonly position: Position;
  /** What was read behind that already. */
  readonly items: readonly Item[];
  /** Reads on. */
  readonly view: View;
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
  readonly #view: View;
  #items: readonly Item[];
  #again: Place | undefined;
  #last: Place | undefined;

  /** @param options What it needs to know. */
  constructor({ position, items, view, again, last }: StreamTailOptions) {
    this.position = position;
    this.#items = items;
    this.#view = view;
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
      // What was read a moment ago comes at once, unless the stream was replaced since.
      const stored = await this.#view.next(this.#again && LIMIT);
      this.#items = stored.flatMap((one) => this.#follow(one));
    }
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
