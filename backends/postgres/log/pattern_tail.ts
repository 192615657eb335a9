/**
 * The tail of a pattern.
 *
 * @module
 */

import { gapOf, positionAfter } from "../../../core/backend/continuity.ts";
import type { Item } from "../../../core/backend/contract.ts";
import type { PollingTail } from "../../../core/backend/kit/polling_tail.ts";
import { QueueTail } from "../../../core/backend/kit/queue_tail.ts";
import type { Pattern } from "../../../core/backend/pattern.ts";
import { Position } from "../../../core/backend/position.ts";
import { inBackground } from "../../../core/util/background.ts";
import { after as later } from "../../../core/util/timer.ts";
import type { Row } from "../statement.ts";
import { Tails, type TailsOptions } from "./tails.ts";

/**
 * The minimum pause between two searches for new channels, in milliseconds, and the addition for
 * each channel.
 */
const SWEEP = 1_000;
const SHARE = 0.2;

/** The channels that start with a text. Each is found by one step in the index. */
const NAMES = `with recursive names as (
    (select channel from broadcaster.log where channel >= $1::text order by channel limit 1)
    union all
    select (select channel from broadcaster.log where channel > names.channel
      order by channel limit 1) from names where starts_with(names.channel, $1::text)
  ) select channel from names where starts_with(channel, $1::text)`;

/** Follows each matching channel by its own tail, including channels that are created later. */
export class PatternTail {
  /** The items of all channels. */
  readonly source: QueueTail;
  readonly #pattern: Pattern;
  readonly #options: TailsOptions;
  readonly #tails: Tails;
  readonly #known = new Set<string>();
  #listing: Promise<void> | undefined;
  #isStale = false;
  #stopSweep: () => void = () => {};
  #ended = false;

  /**
   * Creates a tail that follows nothing yet.
   *
   * @param pattern The pattern that the channels match.
   * @param options Options for the tails.
   * @param onCancel Called when the tail is cancelled.
   */
  constructor(pattern: Pattern, options: TailsOptions, onCancel: () => void) {
    this.#pattern = pattern;
    this.#options = options;
    this.#tails = new Tails(options);
    this.source = new QueueTail(() => {
      onCancel();
      this.#end(new Error("cancelled"));
    });
  }

  /** Follows existing channels from their ends, and then new channels from their starts. */
  async open(): Promise<void> {
    const names = await this.#list();
    await Promise.all(names.map((name) => this.#follow(name)));
    // Channels that were created meanwhile are new.
    this.look();
  }

  /** Wakes the tails of channels with new events. */
  wake(channels: readonly string[]): void {
    this.#tails.wake(channels);
    if (channels.some((name) => !this.#known.has(name) && this.#pattern.matches(name))) this.look();
  }

  /** Wakes the tails that a hint concerns, and looks for new channels if the hint may name one. */
  hear(hint?: string): void {
    this.#tails.hear(hint);
    if (hint === undefined || !this.#tails.knows(hint)) this.look();
  }

  /** Ends the tail, after the items that it has read. */
  lose(error: Error): void {
    this.source.error(error);
    this.#end(error);
  }

  /** Looks for new channels. A call during a search starts another search after it. */
  look(): void {
    this.#isStale = true;
    this.#listing ??= this.#look().catch((error) => this.lose(error)).finally(() => {
      this.#listing = undefined;
    });
  }

  async #look(): Promise<void> {
    this.#stopSweep();
    while (this.#isStale && !this.#ended) {
      this.#isStale = false;
      const names = await this.#list();
      const news = names.filter((name) => !this.#known.has(name));
      await Promise.all(news.map((name) => this.#follow(name, Position.start)));
    }
    if (this.#ended) return;
    const pause = Math.max(SWEEP, SHARE * this.#known.size);
    this.#stopSweep = later(pause, () => this.look());
  }

  async #list(): Promise<string[]> {
    const rows: readonly Row[] = await this.#options.query(NAMES, [this.#pattern.pieces[0]!]);
    return rows.map(([name]) => String(name)).filter((name) => this.#pattern.matches(name));
  }

  async #follow(channel: string, after?: Position): Promise<void> {
    this.#known.add(channel);
    const tail = await this.#tails.open(channel, { after });
    inBackground(this.#move(channel, tail));
  }

  async #move(channel: string, tail: PollingTail): Promise<void> {
    let seen = tail.position;
    try {
      for (;;) {
        const { done, value } = await tail.read();
        if (done) return;
        for (const item of value) {
          for (const own of withoutPlace(item, channel, seen)) this.source.push(own);
          seen = positionAfter(seen, item);
        }
      }
    } catch (error) {
      this.lose(error as Error);
    }
  }

  #end(error: Error): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#stopSweep();
    this.#tails.lose(error);
  }
}

/**
 * An item of a pattern: with its channel, and without a place, since no place covers all channels.
 */
function withoutPlace(item: Item, channel: string, seen: Position): readonly Item[] {
  if (item.kind === "record") {
    const { place: _, ...record } = item;
    return [{ ...record, channel }];
  }
  if (item.kind !== "break") return [];
  // The head cannot be compared without a place. If it is before the position, the log lost its
  // end.
  const { head: _, ...found } = item;
  const isReplaced = gapOf(item, seen.in(0))?.cause === "rollback";
  return [{ ...found, ...isReplaced && { replaced: true } }];
}
