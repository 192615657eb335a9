/**
 * The tail of a log that can only be polled: a read follows each hint that something is new.
 *
 * @module
 */

import type { Item, Page, ReadOptions, Tail } from "../contract.ts";
import type { Position } from "../position.ts";
import { PageSize } from "./page_size.ts";

/** What a log tail needs to know. */
export interface PollingTailOptions {
  /** What it begins behind. */
  readonly position: Position;
  /**
   * Reads what follows a position, inclusive of its own record: less than the limit only if
   * that is all there is, and if it ends with a gap, that says where the log goes on.
   */
  readonly read: (options: ReadOptions) => Promise<Page>;
  /** Nobody reads it any more; the core's cancelling waits for it. */
  readonly cancel: () => Promise<void> | void;
}

/**
 * A tail for brokers that store events and only hint that there are new ones:
 * each hint is followed by a read behind the last record seen. However many
 * hints come while it reads, one more read follows; one that was for nothing
 * does no harm, and what a hint that is lost would have brought comes with the
 * next.
 */
export class PollingTail implements Tail {
  /** What it began behind. */
  readonly position: Position;
  /** What the log brings, one array for each read. */
  readonly records: ReadableStream<readonly Item[]>;
  readonly #options: PollingTailOptions;
  #seen: Position;
  readonly #pageSize = new PageSize();
  /** Whether there may be something to read. */
  #hinted = true;
  #awake: (() => void) | undefined;
  #failure: { readonly reason: unknown } | undefined;

  /** @param options What it needs to know. */
  constructor(options: PollingTailOptions) {
    this.#options = options;
    this.position = this.#seen = options.position;
    this.records = new ReadableStream<readonly Item[]>({
      pull: async (controller) => controller.enqueue(await this.#next()),
      cancel: () => {
        this.#failure = { reason: undefined };
        this.#awake?.();
        return options.cancel();
      },
    }, { highWaterMark: 0 });
  }

  /** There may be something new. */
  wake(): void {
    this.#hinted = true;
    this.#awake?.();
  }

  /** Errors the stream, behind what was read. */
  error(reason: unknown): void {
    this.#failure ??= { reason };
    this.#awake?.();
  }

  async #next(): Promise<readonly Item[]> {
    for (;;) {
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
      this.#seen = behind(this.#seen, items);
      return items;
    }
  }
}

/** The position behind items that follow another one. */
export function behind(position: Position, items: readonly Item[]): Position {
  return items.reduce(
    (seen, item) =>
      item.place ? seen.with(item.place) : ("restart" in item && item.restart) || seen,
    position,
  );
}
