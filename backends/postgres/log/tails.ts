/**
 * The tails of channels: woken by NOTIFY, polled as a safety net.
 *
 * @module
 */

import type { Item, Tail, TailOptions } from "../../../core/backend/contract.ts";
import { PollingTail } from "../../../core/backend/kit/polling_tail.ts";
import { Position } from "../../../core/backend/position.ts";
import { after as later } from "../../../core/util/timer.ts";
import { arrayOf, type Query, type Row } from "./database.ts";
import { fingerprintOf, placeOf, startOf } from "./place.ts";
import type { Reader } from "./reader.ts";

/** How often it is looked for what no hint told of, and how long it takes for each tail at least. */
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

/** What the tails of a session need to know. */
export interface TailsOptions {
  /** Where they ask. */
  readonly query: Query;
  /** Where they read. */
  readonly reader: Reader;
  /** What stands before the hints of this process, which wakes its tails itself. */
  readonly sender: string;
}

/** The tails of one session, and who wakes them. */
export class Tails {
  readonly #options: TailsOptions;
  readonly #tails = new Map<string, Follower>();
  /** The names that share a hash, which is what a hint tells. */
  readonly #names = new Map<string, Set<string>>();
  #stopSweep: (() => void) | undefined;
  #lost: Error | undefined;

  /** @param options What they need to know. */
  constructor(options: TailsOptions) {
    this.#options = options;
  }

  /** Opens the tail of a channel, where hints are heard already. */
  async open(channel: string, { after }: TailOptions): Promise<Tail> {
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
            follower.seen = behind(items, from);
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

  /** These channels have something new. */
  wake(channels: Iterable<string>): void {
    for (const channel of channels) this.#tails.get(channel)?.tail.wake();
  }

  /** A hint has come: its sender, and hashes of channels. Without one, all may have something new. */
  hear(hint?: string): void {
    if (hint === undefined) return this.wake(this.#tails.keys());
    const [sender, ...hashes] = hint.split(" ");
    if (sender === this.#options.sender) return;
    for (const hash of hashes) this.wake(this.#names.get(hash) ?? []);
  }

  /** Whether a hint is of this process, or of channels that it may be about. */
  knows(hint: string): boolean {
    const [sender, ...hashes] = hint.split(" ");
    return sender === this.#options.sender || hashes.every((hash) => this.#names.has(hash));
  }

  /** The session is lost, or closed: they end, behind what they have read. */
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
      ]).catch(() => []); // Who reads learns it too.
      this.wake(stale.map(([channel]) => String(channel)));
    }
    if (this.#lost) return;
    const pause = Math.max(SWEEP, SHARE * this.#tails.size);
    this.#stopSweep = this.#tails.size > 0 ? later(pause, () => this.#sweep()) : undefined;
  }
}

/** A tail, and what it has seen. */
interface Follower {
  readonly hash: string;
  readonly tail: PollingTail;
  seen: Position;
}

/** The position behind what was read. */
function behind(items: readonly Item[], from: Position): Position {
  let position = from;
  for (const item of items) {
    if (item.place) position = position.with(item.place);
    else position = ("restart" in item && item.restart) || position;
  }
  return position;
}
