/**
 * The tail of a stream, woken when there may be something new.
 *
 * @module
 */

import { positionAfter } from "../../../core/backend/continuity.ts";
import type { Page, ReadOptions } from "../../../core/backend/contract.ts";
import { PollingTail } from "../../../core/backend/kit/polling_tail.ts";
import type { Position } from "../../../core/backend/position.ts";
import type { Reader } from "./reader.ts";
import { idOf } from "./record.ts";

/** One tail, and its state as the sweep needs it. */
export class StreamTail {
  /** The stream. */
  readonly channel: string;
  /** The tail as the core reads it. */
  readonly tail: PollingTail;
  readonly #leave: () => Promise<void> | void;
  readonly #reader: Pick<Reader, "read">;
  #seen: Position;
  /** Whether a read is under way, or follows as soon as the core asks for more. */
  #reading = false;
  #woken = true;
  /** The expected length of the stream; -1 until a sweep has found it. */
  #length = -1;

  /**
   * @param channel The stream.
   * @param position The position that it starts after.
   * @param reader Reads the stream.
   * @param leave Called once the tail has ended or was cancelled.
   */
  constructor(
    channel: string,
    position: Position,
    reader: Pick<Reader, "read">,
    leave: () => Promise<void> | void,
  ) {
    this.channel = channel;
    this.#reader = reader;
    this.#seen = position;
    this.#leave = leave;
    this.tail = new PollingTail({
      position,
      cancel: leave,
      read: (options) => this.#read(options),
    });
  }

  /** Whether it reads nothing unless it is woken. */
  get idle(): boolean {
    return !this.#woken && !this.#reading;
  }

  /** The id of the last entry that was read. */
  get id(): string {
    return idOf(this.#seen.in(0));
  }

  /** Errors the tail. */
  async fail(reason: unknown): Promise<void> {
    this.tail.error(reason);
    // Unsubscribing may fail: the subscription may be gone already.
    await Promise.resolve(this.#leave()).catch(() => {});
  }

  /** There may be something new. */
  wake(): void {
    this.#woken = true;
    this.tail.wake();
  }

  /**
   * A sweep found nothing after the last entry, and the stream so long. Only the length shows
   * that a stream was wiped.
   */
  check(length: number): void {
    if (length !== this.#length) this.wake();
    this.#length = length;
  }

  async #read(options: ReadOptions): Promise<Page> {
    this.#woken = false;
    this.#reading = true;
    try {
      const page = await this.#reader.read(this.channel, options);
      const { items } = page;
      this.#seen = items.reduce(positionAfter, options.after!);
      const [first] = items;
      // Counted from what a sweep has found, never guessed: a wiped stream could be as long.
      if (first?.kind !== "break") {
        if (this.#length >= 0) this.#length += items.length;
      } else if (first.removed !== "none") this.#length = -1;
      if (items.length >= options.limit) this.#woken = true;
      return page;
    } catch (error) {
      void this.fail(error);
      throw error;
    } finally {
      this.#reading = false;
    }
  }
}
