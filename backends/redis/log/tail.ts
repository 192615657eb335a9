/**
 * The tail of a stream, and the wakes that reach it.
 *
 * @module
 */

import type { Page, ReadOptions } from "../../../core/backend/contract.ts";
import { PollingTail } from "../../../core/backend/kit/polling_tail.ts";
import { sizeOf } from "../../../core/backend/kit/queue_tail.ts";
import type { Position } from "../../../core/backend/position.ts";
import type { Reader } from "./reader.ts";
import { idOf } from "./record.ts";

/** What one read of a tail should bring, about. */
const BYTES = 4 * 1024 * 1024;
/** How many records it asks for first, before anything is known of their size. */
const FIRST = 64;

/** One tail, and what a sweep needs to know of it. */
export class StreamTail {
  /** The stream. */
  readonly channel: string;
  /** What the core reads. */
  readonly tail: PollingTail;
  readonly #leave: () => Promise<void> | void;
  readonly #reader: Pick<Reader, "read">;
  #seen: Position;
  #limit = FIRST;
  /** Whether a read is under way, or will follow as soon as the core wants more. */
  #reading = false;
  #woken = true;
  /** How long the stream should be; -1 until a sweep has found it. */
  #length = -1;

  /**
   * @param channel The stream.
   * @param position What it begins behind.
   * @param reader Reads the stream.
   * @param leave The tail has ended, or nobody wants it any more.
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

  /** Whether nothing would be read if nobody told of it. */
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
    // Whether it is still there to be left does not matter.
    await Promise.resolve(this.#leave()).catch(() => {});
  }

  /** There may be something new. */
  wake(): void {
    this.#woken = true;
    this.tail.wake();
  }

  /**
   * A sweep found it so long, with nothing new behind its last entry. A stream
   * that was wiped shows in nothing else than its length.
   */
  check(length: number): void {
    if (length !== this.#length) this.wake();
    this.#length = length;
  }

  async #read(options: ReadOptions): Promise<Page> {
    this.#woken = false;
    this.#reading = true;
    const limit = Math.min(options.limit, this.#limit);
    try {
      const page = await this.#reader.read(this.channel, { ...options, limit });
      let bytes = 0;
      for (const { payload, place, ...item } of page.items) {
        if (payload !== undefined) bytes += sizeOf(payload);
        if (place) this.#seen = this.#seen.with(place);
        else this.#seen = ("restart" in item && item.restart) || this.#seen;
      }
      const count = page.items.length;
      // Not before a sweep has found it: a wiped stream could be as long as a wrong guess.
      if (this.#length >= 0) this.#length += count;
      if (count > 0) {
        const fitting = Math.floor(BYTES / Math.max(1, bytes / count));
        this.#limit = Math.max(1, Math.min(this.#limit * 4, fitting, options.limit));
      }
      if (count >= limit) this.wake();
      return page;
    } catch (error) {
      void this.fail(error);
      throw error;
    } finally {
      this.#reading = false;
    }
  }
}
