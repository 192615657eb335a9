/**
 * The tail of a stream. It is woken when there may be new entries.
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

/** The number of entries from wakes that are kept for the core. Further ones are read. */
const KEPT = 256;

/** One tail, and its state for the sweep. */
export class StreamTail {
  /** The stream. */
  readonly channel: string;
  /** The tail for the core. */
  readonly tail: PollingTail;
  readonly #leave: () => Promise<void> | void;
  readonly #reader: Pick<Reader, "read">;
  /** Whether a read is pending, or follows as soon as the core asks for more. */
  #reading = false;
  /** Whether the stream must be read. */
  #woken = true;
  /** Entries that were in wakes. */
  #carried: CarriedEntry[] = [];
  /** Entries that were read, but whose wakes may still arrive. */
  #ahead: (Place | undefined)[] = [];
  /** The expected length of the stream. -1 until a sweep has found it. */
  #length = -1;

  /**
   * @param channel The stream.
   * @param position The position to start after.
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

  /** Whether the tail reads nothing until it is woken. */
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
    // Unsubscribing may fail, since the subscription may already have ended.
    await Promise.resolve(this.#leave()).catch(() => {});
  }

  /** Handles a wake. It carries its entry, or means that there may be new entries. */
  receive(wake: Payload): void {
    const entry = this.#carried.length < KEPT ? entryIn(wake) : undefined;
    if (!entry) return this.wake();
    this.#carried.push(entry);
    this.tail.wake();
  }

  /** Makes the tail read, since there may be new entries. */
  wake(): void {
    this.#woken = true;
    this.tail.wake();
  }

  /**
   * Compares the length of the stream after a sweep without new entries. Only the length shows that
   * a stream was wiped.
   */
  check(length: number): void {
    if (length !== this.#length) this.wake();
    this.#length = length;
  }

  /** Returns no promise if nothing is read, so that the entry of a wake is delivered at once. */
  #read(options: ReadOptions): Promise<Page> | Page {
    const from = options.after!;
    const items = this.#following(from);
    // Entries without content in their wakes come after these.
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
   * The entries of wakes that come next after a position. Each has the place of the previous entry.
   * Entries that are missing between two of them are read.
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
        // Wakes arrive in order.
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
    // The length is counted from a sweep's result, never guessed, since a wiped stream could be as
    // long.
    if (first?.kind !== "break") {
      if (this.#length >= 0) this.#length += items.length;
    } else if (first.removed !== "none") this.#length = -1;
    return page;
  }
}

function placeOf(item: Item): Place | undefined {
  return "place" in item ? item.place : undefined;
}
