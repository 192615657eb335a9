/**
 * Removes old rows of the log.
 *
 * @module
 */

import { after } from "../../../core/util/timer.ts";
import type { Query } from "./database.ts";
import { TRIM_LOCK } from "./schema.ts";

/** How many rows a statement examines. */
const BATCH = 1_000;
/** The pauses between two runs, in milliseconds. */
const SHORTEST = 250;
const LONGEST = 60_000;

/**
 * Removes each row that a later row of its channel follows which is also too old. So the newest of
 * those that are too old stays: it tells readers that have seen it that they missed nothing.
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

/** Rows of the outbox that are committed are in the log as well. */
const EMPTY = `delete from broadcaster_outbox where ctid = any (array(
    select ctid from broadcaster_outbox where (select ${TRIM_LOCK}) limit ${BATCH}
  )) returning 'gone'`;

/** Removes expired keys, except those that are used again while it waits for their lock. */
const EXPIRED = `delete from broadcaster_keys where ctid = any (array(
    select ctid from broadcaster_keys
    where expires <= clock_timestamp() and (select ${TRIM_LOCK}) limit ${BATCH}
  )) and expires <= clock_timestamp() returning 'gone'`;

/** Removes rows that are older than the retention, a few at a time. */
export class Retention {
  readonly #query: Query;
  readonly #retention: number;
  /** The time up to which it has examined rows. */
  #done = "-infinity";
  #stop: () => void = () => {};
  #closed = false;

  /**
   * Starts with a pause.
   *
   * @param query Sends statements.
   * @param retention How long events are stored, in milliseconds; 0 for forever.
   */
  constructor(query: Query, retention: number) {
    this.#query = query;
    this.#retention = retention;
    this.#schedule();
  }

  /** Stops it. */
  close(): void {
    this.#closed = true;
    this.#stop();
  }

  #schedule(): void {
    if (this.#closed) return;
    const pause = Math.max(SHORTEST, Math.min(LONGEST, this.#retention / 4 || LONGEST));
    // Processes that started together do not run it together.
    this.#stop = after(pause * (0.75 + Math.random() / 2), () => this.#run());
  }

  async #run(): Promise<void> {
    try {
      for (const gone of [EMPTY, EXPIRED]) {
        while (!this.#closed && (await this.#query(gone)).length === BATCH);
      }
      while (!this.#closed && this.#retention > 0 && await this.#trim());
    } catch {
      // It is tried again next time. A role that may not delete leaves it to other processes.
    }
    this.#schedule();
  }

  /** Removes a batch, and tells whether there may be more. */
  async #trim(): Promise<boolean> {
    const [row] = await this.#query(TRIM, [this.#done, String(this.#retention)]);
    const [done, count] = row as readonly [string | null, string];
    if (done !== null) this.#done = done;
    return Number(count) >= BATCH;
  }
}
