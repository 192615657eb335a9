/**
 * The tail of a stream, woken when there may be something new.
 *
 * @module
 */

import type { Item, Page, Payload, ReadOptions } from "../../../core/backend/contract.ts";
import { PollingTail } from "../../../core/backend/kit/polling_tail.ts";
import type { Place, Position } from "../../../core/backend/position.ts";
import { inBackground } from "../../../core/util/background.ts";
import type { Reader } from "./reader.ts";
import { idOf } from "./record.ts";
import { type CarriedEntry, entryIn, isSameEntry } from "./wake.ts";

/** How many entries of wakes are kept for the core; the others are read. */
const KEPT = 256;

/** One tail, and its state as the sweep needs it. */
export class StreamTail {
  /** The stream. */
  readonly channel: string;
  /** The tail as the core reads it. */
  readonly tail: PollingTail;
  readonly #leave: () => Promise<void> | void;
  readonly #reader: Pick<Reader, "read">;
  /** Whether a read is under way, or follows as soon as the core asks for more. */
  #reading = false;
  /** Whether the stream has to be read. */
  #woken = true;
  /** Entries that wakes have carried. */
  #carried: CarriedEntry[] = [];
  /** Entries that were read, and whose wakes may still be on their way. */
  #ahead: (Place | undefined)[] = [];
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
    this.#leave = leave;
    this.tail = new PollingTail({
      position,
      cancel: leave,
      read: (options) => this.#read(options),
    });
  }

  /** Whether it reads nothing unless it is woken. */
  get idle(): boolean {
    return !this.#woken && !this.#reading && this.#carried.length === 0;
  }

  /** The id of the last entry that was read. */
  get id(): string {
    return idOf(this.tail.seen.in(0));
  }

  /** Errors the tail. */
  async fail(reason: unknown): Promise<void> {
    this.tail.error(reason);
    // Unsubscribing may fail: the subscription may be gone already.
    await Promise.resolve(this.#leave()).catch(() => {});
  }

  /** A wake was published: it carries its entry, or there may be something new. */
  receive(wake: Payload): void {
    const entry = this.#carried.length < KEPT ? entryIn(wake) : undefined;
    if (!entry) return this.wake();
    this.#carried.push(entry);
    this.tail.wake();
  }

  /** There may be something new: it is read. */
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

  /** Not a promise where nothing is read: what a wake carries is to be delivered at once. */
  #read(options: ReadOptions): Promise<Page> | Page {
    const from = options.after!;
    const items = this.#following(from);
    // What a wake has announced without its entry comes after these.
    if (items.length > 0 && this.#woken) this.tail.wake();
    return items.length > 0 || !this.#woken ? this.#count({ from, items }) : this.#ask(options);
  }

  async #ask(options: ReadOptions): Promise<Page> {
    this.#woken = false;
    this.#reading = true;
    try {
      const page = this.#count(await this.#reader.read(this.channel, options));
      this.#ahead.push(...page.items.slice(-KEPT).map(placeOf));
      this.#ahead.splice(0, this.#ahead.length - KEPT);
      if (page.items.length >= options.limit) this.#woken = true;
      return page;
    } catch (error) {
      inBackground(this.fail(error));
      throw error;
    } finally {
      this.#reading = false;
    }
  }

  /**
   * The carried entries that come next after a position: each says which entry was the last one
   * before it. What is missing between two of them is read.
   */
  #following(position: Position): Item[] {
    const carried = this.#carried;
    if (carried.length === 0) return [];
    this.#carried = [];
    const items: Item[] = [];
    let last = position.in(0);
    for (const { item, before } of carried) {
      if (isSameEntry(before, last)) {
        items.push(item);
        last = item.place;
        // Wakes come in order.
        this.#ahead.length = 0;
      } else if (!this.#wasRead(item)) {
        this.wake();
        break;
      }
    }
    return items;
  }

  #wasRead({ place }: CarriedEntry["item"]): boolean {
    const index = this.#ahead.findIndex((read) => isSameEntry(read, place));
    this.#ahead.splice(0, index + 1);
    return index >= 0;
  }

  #count(page: Page): Page {
    const { items } = page;
    const [first] = items;
    // Counted from what a sweep has found, never guessed: a wiped stream could be as long.
    if (first?.kind !== "break") {
      if (this.#length >= 0) this.#length += items.length;
    } else if (first.removed !== "none") this.#length = -1;
    return page;
  }
}

function placeOf(item: Item): Place | undefined {
  return "place" in item ? item.place : undefined;
}
