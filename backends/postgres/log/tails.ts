/**
 * The tails of channels. NOTIFY wakes them, and polling finds events whose notification was lost.
 *
 * @module
 */

import { positionAfter } from "../../../core/backend/continuity.ts";
import type { TailOptions } from "../../../core/backend/contract.ts";
import { Together } from "../../../core/backend/kit/together.ts";
import { PollingTail } from "../../../core/backend/kit/polling_tail.ts";
import { Position } from "../../../core/backend/position.ts";
import { inBackground } from "../../../core/util/background.ts";
import { after as later } from "../../../core/util/timer.ts";
import { arrayOf, type Row } from "../statement.ts";
import type { Query } from "./database.ts";
import { fingerprintOf, placeOf, startOf } from "./place.ts";
import type { Reader } from "./reader.ts";
import { END, META, microsOf } from "./parts.ts";

/** The minimum pause between two polls, in milliseconds, and the addition for each tail. */
const SWEEP = 1_000;
const SHARE = 0.2;

const BEGIN = `select tails.channel, epoch, hashtext(tails.channel)::text, id::text,
    ${microsOf("created")}::text
  from ${META}, unnest($1::text[]) as tails (channel) left join lateral (
    select id, created from broadcaster.log where channel = tails.channel and id < ${END}
    order by id desc limit 1
  ) as newest on true`;

/** The last seen row of a tail may be the newest removed one. */
const STALE = `select tails.channel from ${META},
  unnest($1::text[], $2::bigint[], $3::text[]) as tails (channel, seen, epoch)
  left join lateral (
    select id from broadcaster.log where channel = tails.channel and id < ${END}
    order by id desc limit 1
  ) as newest on true
  where tails.epoch <> meta.epoch or coalesce(newest.id, 0) > seen
    or coalesce(newest.id, 0) < seen and not exists (
      select from broadcaster.trimmed where channel = tails.channel and id = seen)`;

/** Options for the tails of a session. */
export interface TailsOptions {
  /** Sends statements. */
  readonly query: Query;
  /** Reads pages. */
  readonly reader: Reader;
  /** The prefix of this process's hints. The process wakes its tails itself. */
  readonly sender: string;
}

/** The tails of one session. */
export class Tails {
  readonly #options: TailsOptions;
  readonly #begins: Together<Map<unknown, Row>>;
  readonly #tails = new Map<string, Follower>();
  /** The channels by their hash, which is their name in hints. */
  readonly #names = new Map<string, Set<string>>();
  #stopSweep: (() => void) | undefined;
  #lost: Error | undefined;

  /** @param options Options for the tails. */
  constructor(options: TailsOptions) {
    this.#options = options;
    this.#begins = new Together(async (channels) => {
      const rows = await options.query(BEGIN, [arrayOf(channels)]);
      return new Map(rows.map(([channel, ...row]) => [channel, row]));
    });
  }

  /** Opens the tail of a channel. The session must be listening. */
  async open(channel: string, { after }: TailOptions): Promise<PollingTail> {
    const { reader } = this.#options;
    const row = (await this.#begins.ask(channel)).get(channel);
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
    this.#stopSweep ??= later(SWEEP, () => inBackground(this.#sweep()));
    return follower.tail;
  }

  /** Wakes the tails of channels with new events. */
  wake(channels: Iterable<string>): void {
    for (const channel of channels) this.#tails.get(channel)?.tail.wake();
  }

  /** Wakes the tails that a hint concerns, or all of them if hints may have been lost. */
  hear(hint?: string): void {
    if (hint === undefined) return this.wake(this.#tails.keys());
    const [sender, ...hashes] = hint.split(" ");
    if (sender === this.#options.sender) return;
    for (const hash of hashes) this.wake(this.#names.get(hash) ?? []);
  }

  /** Whether this process sent the hint, or all channels in it may have a tail here. */
  knows(hint: string): boolean {
    const [sender, ...hashes] = hint.split(" ");
    return sender === this.#options.sender || hashes.every((hash) => this.#names.has(hash));
  }

  /** Ends all tails, after the items that they have read. The session is lost or closed. */
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
    this.#stopSweep = this.#tails.size > 0
      ? later(pause, () => inBackground(this.#sweep()))
      : undefined;
  }
}

/** A tail, and the position that it has seen. */
interface Follower {
  readonly hash: string;
  readonly tail: PollingTail;
  seen: Position;
}
