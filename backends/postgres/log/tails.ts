/**
 * The tails of channels: woken by NOTIFY, and polled in case a notification was lost.
 *
 * @module
 */

import { positionAfter } from "../../../core/backend/continuity.ts";
import type { TailOptions } from "../../../core/backend/contract.ts";
import { PollingTail } from "../../../core/backend/kit/polling_tail.ts";
import { Position } from "../../../core/backend/position.ts";
import { after as later } from "../../../core/util/timer.ts";
import { arrayOf } from "../statement.ts";
import type { Query, Row } from "./database.ts";
import { fingerprintOf, placeOf, startOf } from "./place.ts";
import type { Reader } from "./reader.ts";

/** The pause between two polls, and its least part for each tail, in milliseconds. */
const SWEEP = 1_000;
const SHARE = 0.2;

const BEGIN = `select epoch, hashtext($1)::text, id::text,
    (extract(epoch from created) * 1000000)::bigint::text
  from (select epoch from broadcaster_meta limit 1) as meta left join lateral (
    select id, created from broadcaster_log where channel = $1 order by id desc limit 1
  ) as newest on true`;

const STALE = `select tails.channel from
  unnest($1::text[], $2::bigint[], $3::text[]) as tails (channel, seen, epoch)
  left join lateral (
    select id from broadcaster_log where channel = tails.channel order by id desc limit 1
  ) as newest on true
  where coalesce(newest.id, 0) <> tails.seen
    or tails.epoch <> (select epoch from broadcaster_meta limit 1)`;

/** Options for the tails of a session. */
export interface TailsOptions {
  /** Sends statements. */
  readonly query: Query;
  /** Reads pages. */
  readonly reader: Reader;
  /** The name with which the hints of this process start. It wakes its tails itself. */
  readonly sender: string;
}

/** The tails of one session. */
export class Tails {
  readonly #options: TailsOptions;
  readonly #tails = new Map<string, Follower>();
  /** The channels by their hash, by which a hint names them. */
  readonly #names = new Map<string, Set<string>>();
  #stopSweep: (() => void) | undefined;
  #lost: Error | undefined;

  /** @param options Options for the tails. */
  constructor(options: TailsOptions) {
    this.#options = options;
  }

  /** Opens the tail of a channel. The session must be listening. */
  async open(channel: string, { after }: TailOptions): Promise<PollingTail> {
    const { query, reader } = this.#options;
    const [row] = await query(BEGIN, [channel]);
    const [epoch, hash, id, micros] = row as readonly [string, string, string | null, string];
    if (this.#lost) throw this.#lost;
    const position = after ??
      (id === null ? startOf(epoch) : Position.of(placeOf(epoch, id, micros)));
    const follower: Follower = {
      hash,
      seen: position,
      tail: new PollingTail({
        position,
        read: async (options) => {
          try {
            const { from, items, cut } = await reader.read(channel, options);
            follower.seen = items.reduce(positionAfter, from);
            if (cut) follower.tail.wake();
            return { from, items };
          } catch (error) {
            this.#forget(channel, follower);
            throw error;
          }
        },
        cancel: () => this.#forget(channel, follower),
      }),
    };
    this.#tails.set(channel, follower);
    const names = this.#names.get(hash) ?? new Set();
    this.#names.set(hash, names.add(channel));
    this.#stopSweep ??= later(SWEEP, () => this.#sweep());
    return follower.tail;
  }

  /** Wakes the tails of these channels: they have new events. */
  wake(channels: Iterable<string>): void {
    for (const channel of channels) this.#tails.get(channel)?.tail.wake();
  }

  /** Wakes the tails that a hint concerns: all of them if hints may have been lost. */
  hear(hint?: string): void {
    if (hint === undefined) return this.wake(this.#tails.keys());
    const [sender, ...hashes] = hint.split(" ");
    if (sender === this.#options.sender) return;
    for (const hash of hashes) this.wake(this.#names.get(hash) ?? []);
  }

  /** Whether a hint is of this process, or names only channels that may have a tail. */
  knows(hint: string): boolean {
    const [sender, ...hashes] = hint.split(" ");
    return sender === this.#options.sender || hashes.every((hash) => this.#names.has(hash));
  }

  /** Ends all tails, after what they have read: the session is lost or closed. */
  lose(error: Error): void {
    this.#lost = error;
    this.#stopSweep?.();
    for (const { tail } of this.#tails.values()) tail.error(error);
    this.#tails.clear();
    this.#names.clear();
  }

  #forget(channel: string, follower: Follower): void {
    if (this.#tails.get(channel) !== follower) return;
    this.#tails.delete(channel);
    const names = this.#names.get(follower.hash)!;
    names.delete(channel);
    if (names.size === 0) this.#names.delete(follower.hash);
  }

  async #sweep(): Promise<void> {
    const tails = [...this.#tails];
    if (tails.length > 0) {
      const seen = tails.map(([, { seen }]) => seen.newest);
      const stale: readonly Row[] = await this.#options.query(STALE, [
        arrayOf(tails.map(([channel]) => channel)),
        arrayOf(seen.map((place) => String(place?.at ?? 0))),
        arrayOf(seen.map((place) => place ? fingerprintOf(place).epoch : "")),
      ]).catch(() => []); // The next read of a tail fails as well.
      this.wake(stale.map(([channel]) => String(channel)));
    }
    if (this.#lost) return;
    const pause = Math.max(SWEEP, SHARE * this.#tails.size);
    this.#stopSweep = this.#tails.size > 0 ? later(pause, () => this.#sweep()) : undefined;
  }
}

/** A tail, and the position that it has seen. */
interface Follower {
  readonly hash: string;
  readonly tail: PollingTail;
  seen: Position;
}
