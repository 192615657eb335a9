/**
 * The tail of a channel, or of a pattern, in a stream.
 *
 * @module
 */

import type { Msg } from "@nats-io/transport-node";
import type { Item, Page, ReadOptions, Tail } from "../../../core/backend/contract.ts";
import { PageSize } from "../../../core/backend/kit/page_size.ts";
import { behind } from "../../../core/backend/kit/polling_tail.ts";
import { weightOf } from "../../../core/backend/kit/queue_tail.ts";
import type { Position } from "../../../core/backend/position.ts";
import { headersIn } from "../headers.ts";
import { checkOfStored, epochIn, placeOf } from "./place.ts";
import { timeOf } from "./store.ts";

/** What may wait for the core; past that the stream is read again. */
const BYTES = 4 * 1024 * 1024;
/** How many messages are kept while a page is read, and how many subjects are followed. */
const HELD = 1_024;
const SUBJECTS = 4_096;

/** What a live tail needs to know. */
export interface LiveTailOptions {
  /** What it begins behind. */
  readonly position: Position;
  /** Whether there is something to read behind the position, or nobody knows. */
  readonly isBehind: boolean;
  /** The channel of a message, for a pattern; `undefined` if it is nobody's event. */
  readonly channelOf?: ((subject: string) => string | undefined) | undefined;
  /** Reads what follows a position, inclusive of its own record. */
  readonly read: (options: ReadOptions) => Promise<Page>;
  /** Nobody reads it any more. */
  readonly cancel: () => Promise<void>;
}

/** What the server tells of a message that it has stored. */
interface Live {
  readonly at: number;
  /** The sequence of the message before it, of the same subject. */
  readonly before: number;
  readonly message: Msg;
}

/**
 * Follows what the server republishes: each message with its sequence, and the
 * one of the message before it in its channel. As long as that is one that was
 * seen, nothing is missing. If it is not, the stream is read behind the last
 * record that was, until it leads to what comes live.
 */
export class LiveTail implements Tail {
  /** What it began behind. */
  readonly position: Position;
  /** What the stream brings. */
  readonly records: ReadableStream<readonly Item[]>;
  readonly #options: LiveTailOptions;
  readonly #pageSize = new PageSize();
  /** Behind all that the core has. */
  #seen: Position;
  /** All up to it is seen, and of each subject up to its own. */
  #floor: number;
  /** Where it began to follow what comes live: of the stream that there is now. */
  #live: Position;
  readonly #lasts = new Map<string, number>();
  #top: number;
  #isBehind: boolean;
  #isReading = false;
  /** Counts what may have come too late for a page that is being read. */
  #looks = 0;
  #held: Live[] = [];
  #waiting: Item[] = [];
  #bytes = 0;
  #failure: { readonly reason: unknown } | undefined;
  #awake: () => void = () => {};

  /** @param options What it needs to know. */
  constructor(options: LiveTailOptions) {
    this.#options = options;
    this.position = this.#seen = options.position;
    this.#isBehind = options.isBehind;
    this.#live = options.position;
    this.#floor = this.#top = options.position.in(0)?.at ?? 0;
    this.records = new ReadableStream<readonly Item[]>({
      pull: async (controller) => controller.enqueue(await this.#next()),
      cancel: () => {
        this.error(undefined);
        return options.cancel();
      },
    }, { highWaterMark: 0 });
  }

  /** A message came, live. */
  hear(message: Msg): void {
    const at = Number(message.headers?.get("Nats-Sequence") || NaN);
    const before = Number(message.headers?.get("Nats-Last-Sequence") || NaN);
    if (Number.isNaN(at) || Number.isNaN(before)) return;
    const live = { at, before, message };
    if (!this.#isBehind) {
      if (!this.#push(live)) this.look();
    } else if (this.#isReading && this.#held.length < HELD) this.#held.push(live);
  }

  /** The stream is read, whatever came live. */
  look(): void {
    this.#looks++;
    this.#isBehind = true;
    // What waits is read again.
    this.#waiting = [];
    this.#bytes = 0;
    this.#awake();
  }

  /** Errors the stream, behind what has come. */
  error(reason: unknown): void {
    this.#failure ??= { reason };
    this.#awake();
  }

  /** Whether the message follows what was seen, and need not be read. */
  #push({ at, before, message }: Live): boolean {
    const { subject } = message;
    const last = this.#lasts.get(subject) ?? 0;
    if (at <= this.#top || before > Math.max(last, this.#floor)) return false;
    if (this.#bytes > BYTES || this.#lasts.size >= SUBJECTS) return false;
    const { data: payload, headers } = message;
    const begun = this.#live.in(0);
    const place = placeOf(at, begun ? epochIn(begun) : "", checkOfStored(payload, headers));
    const channel = this.#options.channelOf?.(subject);
    if (this.#options.channelOf && channel === undefined) this.#waiting.push({ place });
    else {
      const timestamp = timeOf(message);
      const record = {
        payload,
        place,
        ...channel !== undefined && { channel },
        ...timestamp !== undefined && { timestamp },
        headers: headersIn(headers),
      };
      this.#waiting.push(record);
      this.#bytes += weightOf(record);
    }
    this.#lasts.set(subject, at);
    this.#top = at;
    this.#awake();
    return true;
  }

  async #next(): Promise<readonly Item[]> {
    for (;;) {
      if (this.#waiting.length > 0) return this.#give(this.#waiting);
      if (this.#failure) throw this.#failure.reason;
      if (!this.#isBehind) await new Promise<void>((resolve) => this.#awake = resolve);
      else {
        const items = await this.#catchUp();
        if (items.length > 0) return this.#give(items);
      }
    }
  }

  /** A page; if it is the last one, what came live meanwhile is next. */
  async #catchUp(): Promise<readonly Item[]> {
    const limit = this.#pageSize.count;
    const looks = this.#looks;
    this.#held = [];
    this.#isReading = true;
    try {
      const { items } = await this.#options.read({ after: this.#seen, limit });
      this.#pageSize.learn(items);
      const isLast = items.length < limit && this.#held.length < HELD && looks === this.#looks;
      if (isLast) this.#goLive(behind(this.#seen, items));
      return items;
    } finally {
      this.#isReading = false;
    }
  }

  #goLive(position: Position): void {
    this.#isBehind = false;
    this.#live = position;
    this.#floor = this.#top = position.in(0)?.at ?? 0;
    this.#lasts.clear();
    for (const live of this.#held) {
      if (live.at > this.#floor && !this.#push(live)) return this.look();
    }
  }

  #give(items: readonly Item[]): readonly Item[] {
    if (items === this.#waiting) {
      this.#waiting = [];
      this.#bytes = 0;
    }
    this.#seen = behind(this.#seen, items);
    return items;
  }
}
