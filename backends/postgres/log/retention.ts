/**
 * Removes old rows of the log.
 *
 * @module
 */

import { after } from "../../../core/util/timer.ts";
import type { Query } from "./database.ts";
import { TRIM_LOCK } from "./schema.ts";

/** How many rows one statement looks at. */
const BATCH = 1_000;
/** How often it is looked, in milliseconds. */
const SHORTEST = 250;
const LONGEST = 60_000;

/**
 * Of each channel, every row that has one behind it that is too old: so the newest
 * of those that are too old stays, as the mark of whoever has seen it.
 */
const TRIM = `with expired as materialized (
    select created, channel, id from broadcaster_log
    where created > $1::text::timestamptz
      and created <= clock_timestamp() - $2::float8 * interval '1 millisecond'
      and (select ${TRIM_LOCK})
    order by created fetch first ${BATCH} rows with ties
  ), marks as (
    select channel, max(id) as id from expired group by channel
  ), gone as (
    delete from broadcaster_log as log using marks
    where log.channel = marks.channel and log.id < marks.id
  )
  select max(created)::text, count(*)::text from expired`;

/** What is committed there is in the log. */
const EMPTY = `delete from broadcaster_outbox where ctid = any (array(
    select ctid from broadcaster_outbox where (select ${TRIM_LOCK}) limit ${BATCH}
  )) returning 'gone'`;

/** Keys that are not known any more: not those that are used anew while it waits for them. */
const EXPIRED = `delete from broadcaster_keys where ctid = any (array(
    select ctid from broadcaster_keys
    where expires <= clock_timestamp() and (select ${TRIM_LOCK}) limit ${BATCH}
  )) and expires <= clock_timestamp() returning 'gone'`;

/** Removes, now and then and a little at a time, what is older than the retention. */
export class Retention {
  readonly #query: Query;
  readonly #retention: number;
  /** Up to where it has looked. */
  #done = "-infinity";
  #stop: () => void = () => {};
  #closed = false;

  /**
   * @param query Where it asks.
   * @param retention In milliseconds; 0 for ever.
   */
  constructor(query: Query, retention: number) {
    this.#query = query;
    this.#retention = retention;
    this.#schedule();
  }

  /** It ends. */
  close(): void {
    this.#closed = true;
    this.#stop();
  }

  #schedule(): void {
    if (this.#closed) return;
    const pause = Math.max(SHORTEST, Math.min(LONGEST, this.#retention / 4 || LONGEST));
    // Processes that started together do not come together.
    this.#stop = after(pause * (0.75 + Math.random() / 2), () => this.#run());
  }

  async #run(): Promise<void> {
    try {
      for (const gone of [EMPTY, EXPIRED]) {
        while (!this.#closed && (await this.#query(gone)).length === BATCH);
      }
      while (!this.#closed && this.#retention > 0 && await this.#trim());
    } catch {
      // Next time, or another process: one that may not delete leaves it to others.
    }
    this.#schedule();
  }

  /** Whether there may be more. */
  async #trim(): Promise<boolean> {
    const [row] = await this.#query(TRIM, [this.#done, String(this.#retention)]);
    const [done, count] = row as readonly [string | null, string];
    if (done !== null) this.#done = done;
    return Number(count) >= BATCH;
  }
}
