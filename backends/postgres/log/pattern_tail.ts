/**
 * The tail of a pattern.
 *
 * @module
 */

import type { Item, Tail } from "../../../core/backend/contract.ts";
import { QueueTail } from "../../../core/backend/kit/queue_tail.ts";
import type { Pattern } from "../../../core/backend/pattern.ts";
import { Position } from "../../../core/backend/position.ts";
import { after as later } from "../../../core/util/timer.ts";
import type { Row } from "./database.ts";
import { Tails, type TailsOptions } from "./tails.ts";

/** How often it is looked for channels that no hint told of, and how long it takes for each at least. */
const SWEEP = 1_000;
const SHARE = 0.2;

/** The channels that begin so, each found by one step in the index. */
const NAMES = `with recursive names as (
    (select channel from broadcaster_log where channel >= $1 order by channel limit 1)
    union all
    select (select channel from broadcaster_log where channel > names.channel
      order by channel limit 1) from names where starts_with(names.channel, $1)
  ) select channel from names where starts_with(channel, $1)`;

/** Follows each channel that matches a pattern, by a tail of its own, and those that come later. */
export class PatternTail {
  /** What all of them bring. */
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
   * @param pattern What the channels match.
   * @param options What its tails need to know.
   * @param onCancel Told when nobody reads it any more.
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

  /** Follows the channels that there are from their ends on, and from then on new ones from their starts. */
  async open(): Promise<void> {
    const names = await this.#list();
    await Promise.all(names.map((name) => this.#follow(name)));
    // What has come meanwhile is new.
    this.look();
  }

  /** These channels have something new. */
  wake(channels: readonly string[]): void {
    this.#tails.wake(channels);
    if (channels.some((name) => !this.#known.has(name) && this.#pattern.matches(name))) this.look();
  }

  /** A hint has come: perhaps of a channel that is new. */
  hear(hint?: string): void {
    this.#tails.hear(hint);
    if (hint === undefined || !this.#tails.knows(hint)) this.look();
  }

  /** It ends, behind what it has read. */
  lose(error: Error): void {
    this.source.error(error);
    this.#end(error);
  }

  /** Looks for new channels; however often it is told to meanwhile, once more. */
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
    void this.#move(channel, tail);
  }

  async #move(channel: string, { records }: Tail): Promise<void> {
    const reader = records.getReader();
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        for (const item of value) this.source.push(named(item, channel));
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

/** An item as a pattern has it: with its channel, and without a place, as none covers all channels. */
function named(item: Item, channel: string): Item {
  if (item.payload !== undefined) {
    const { place: _, ...record } = item;
    return { ...record, channel };
  }
  return item.place ? item : { cause: item.cause, missed: item.missed };
}
