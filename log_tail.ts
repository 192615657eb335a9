/**
 * The live end of a log that can only be asked.
 *
 * @module
 */

import type { Item, Page, ReadOptions, Tail } from "./backend.ts";
import { Position } from "./position.ts";

/** How many records one read brings at most. */
const LIMIT = 1_024;

/** What a log tail needs to know. */
export interface LogTailOptions {
  /** What it begins behind. */
  readonly position: Position;
  /** Reads what follows a position, inclusive of its own record. */
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
export class LogTail implements Tail {
  /** What it began behind. */
  readonly position: Position;
  /** What the log brings, one array for each read. */
  readonly records: ReadableStream<readonly Item[]>;
  readonly #options: LogTailOptions;
  #seen: Position;
  /** Whether there may be something to read. */
  #hinted = true;
  #awake: (() => void) | undefined;
  #failure: { readonly reason: unknown } | undefined;

  /** @param options What it needs to know. */
  constructor(options: LogTailOptions) {
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
      const { items } = await this.#options.read({ after: this.#seen, limit: LIMIT });
      if (items.length === 0) continue;
      if (items.length >= LIMIT) this.#hinted = true;
      for (const item of items) {
        if (item.place) this.#seen = this.#seen.with(item.place);
        else this.#seen = ("restart" in item && item.restart) || this.#seen;
      }
      return items;
    }
  }
}
