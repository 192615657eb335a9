/**
 * The tail of a channel, or of a pattern, in a stream.
 *
 * @module
 */

import type { Msg, MsgHdrs } from "@nats-io/transport-node";
import { positionAfter } from "../../../core/backend/continuity.ts";
import type {
  Item,
  Page,
  ReadOptions,
  ReadResult,
  RecordReader,
  Tail,
} from "../../../core/backend/contract.ts";
import { PageSize } from "../../../core/backend/kit/page_size.ts";
import { weightOf } from "../../../core/backend/kit/queue_tail.ts";
import type { Place, Position } from "../../../core/backend/position.ts";
import { inBackground } from "../../../core/util/background.ts";
import { headersIn, readHeaders } from "../headers.ts";
import { checkOfStored, epochIn, placeOf } from "./place.ts";
import { timeOf } from "./store.ts";

/**
 * The maximum size of items that wait for the core, in bytes. Beyond that, the stream is read
 * again.
 */
const BYTES = 4 * 1024 * 1024;
/**
 * The maximum number of messages that are kept while a page is read, and of subjects that are
 * followed.
 */
const HELD = 1_024;
const SUBJECTS = 4_096;

/** Options for a live tail. */
export interface LiveTailOptions {
  /** The position to start after. */
  readonly position: Position;
  /** Whether the stream may have messages after the position. */
  readonly isBehind: boolean;
  /** The channel of a message, for a pattern. `undefined` if the subject belongs to no channel. */
  readonly channelOf?: ((subject: string) => string | undefined) | undefined;
  /** The subject on which the messages of a channel are republished. */
  readonly subjectOf: (channel: string | undefined) => string;
  /** Reads the records after a position, and the record at it. */
  readonly read: (options: ReadOptions) => Promise<Page>;
  /** Whether another message is at a place of the stream. */
  readonly isReplaced: (place: Place) => Promise<boolean>;
  /** Unsubscribes. Called when the tail is no longer read. */
  readonly cancel: () => Promise<void>;
}

/** A stored message that the server has republished. */
interface Live {
  readonly at: number;
  /** The sequence of the previous message of the same subject; 0 if the stream has none. */
  readonly before: number;
  readonly message: Msg;
  readonly headers: MsgHdrs;
}

/**
 * Follows the messages that the server republishes. Each has its sequence, and the sequence of the
 * previous message of its channel. If the previous message was seen, nothing is missing. Otherwise
 * the stream is read after the last record that was seen, until it reaches the live messages.
 */
export class LiveTail implements Tail, RecordReader {
  /** The position that the tail started after. */
  readonly position: Position;
  readonly #options: LiveTailOptions;
  readonly #pageSize = new PageSize();
  /** The position after everything that the core has. */
  #seen: Position;
  /**
   * All messages up to this sequence were seen. For each subject, all up to its own last sequence
   * were seen.
   */
  #floor: number;
  /** The epoch of the stream of the live messages. */
  #epoch: string;
  readonly #lasts = new Map<string, number>();
  #top: number;
  #isBehind: boolean;
  #isReading = false;
  /** Whether the tail is behind only until it is known whether the stream lost its end. */
  #isSuspicious = false;
  /** Counts the messages that may have come too late for the page that is being read. */
  #looks = 0;
  #held: Live[] = [];
  #waiting: Item[] = [];
  #bytes = 0;
  #failure: { readonly reason: unknown } | undefined;
  #awake: () => void = () => {};
  /** Whether the tail was cancelled, or a read has rejected. */
  #isOver = false;

  /** @param options Options for the tail. */
  constructor(options: LiveTailOptions) {
    const { position, isBehind } = options;
    const place = position.in(0);
    this.#options = options;
    this.position = this.#seen = position;
    this.#isBehind = isBehind;
    this.#epoch = place ? epochIn(place) : "";
    this.#floor = this.#top = place?.at ?? 0;
  }

  /** The items of the log. */
  get records(): RecordReader {
    return this;
  }

  /** Resolves with the next items. One read at a time. */
  async read(): Promise<ReadResult> {
    try {
      return await this.#next();
    } catch (error) {
      inBackground(this.cancel());
      throw error;
    }
  }

  /** Unsubscribes. A pending read is done. */
  async cancel(): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#awake();
    await this.#options.cancel();
  }

  /**
   * Handles a live message. An unreadable one is looked up in the stream, since only stored
   * messages count.
   */
  hear(message: Msg): void {
    const headers = readHeaders(message);
    const at = Number(headers?.get("Nats-Sequence") || NaN);
    const before = Number(headers?.get("Nats-Last-Sequence") || NaN);
    if (!headers || !Number.isSafeInteger(at) || !Number.isSafeInteger(before)) return this.look();
    const live = { at, before, message, headers };
    if (this.#isBehind) {
      const isHeld = this.#isReading || this.#isSuspicious;
      if (isHeld && this.#held.length < HELD) this.#held.push(live);
    } else if (before === 0 && this.#lasts.has(message.subject)) this.#suspect(live);
    else if (!this.#push(live)) this.look();
  }

  /** Reads the stream again, whatever has come live. */
  look(): void {
    this.#looks++;
    this.#isBehind = true;
    this.#isSuspicious = false;
    // The waiting messages are read again.
    this.#waiting = [];
    this.#bytes = 0;
    this.#awake();
  }

  /** Makes reads reject, after the items that have come. */
  error(reason: unknown): void {
    this.#failure ??= { reason };
    this.#awake();
  }

  /**
   * Whether the message follows the messages that were seen, so that the stream need not be read.
   * If it follows an earlier message than the last seen one of its subject, the stream lost its
   * end.
   */
  #push({ at, before, message, headers }: Live): boolean {
    const { subject, data: payload } = message;
    const last = this.#lasts.get(subject) ?? 0;
    if (at <= this.#top || before > Math.max(last, this.#floor)) return false;
    if (before > 0 && before < last) return false;
    if (this.#bytes > BYTES || this.#lasts.size >= SUBJECTS) return false;
    const place = placeOf(at, this.#epoch, checkOfStored(payload, headers));
    const channel = this.#options.channelOf?.(subject);
    if (this.#options.channelOf && channel === undefined) {
      this.#waiting.push({ kind: "skip", place });
    } else {
      const timestamp = timeOf(headers);
      const record = {
        kind: "record" as const,
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

  /**
   * The last seen message of a subject is gone. Either it was removed and nothing is missing, or
   * the stream lost its end. This is checked before the message is taken.
   */
  #suspect(live: Live): void {
    this.#isBehind = this.#isSuspicious = true;
    this.#held = [live];
    this.#awake();
  }

  async #next(): Promise<ReadResult> {
    for (;;) {
      if (this.#isOver) return { done: true };
      if (this.#waiting.length > 0) return this.#give(this.#waiting);
      if (this.#failure) throw this.#failure.reason;
      if (!this.#isBehind) await new Promise<void>((resolve) => this.#awake = resolve);
      else {
        const items = await this.#catchUp();
        if (items.length > 0) return this.#give(items);
      }
    }
  }

  /** Reads a page. After the last page, the live messages that came meanwhile follow. */
  async #catchUp(): Promise<readonly Item[]> {
    const limit = this.#pageSize.count;
    const looks = this.#looks;
    const isSuspicious = this.#isSuspicious;
    this.#isSuspicious = false;
    if (!isSuspicious) this.#held = [];
    this.#isReading = true;
    try {
      if (isSuspicious && !await this.#options.isReplaced(this.#seen.in(0)!)) {
        if (looks === this.#looks && this.#held.length < HELD) this.#goLive(this.#seen);
        return [];
      }
      const { items } = await this.#options.read({ after: this.#seen, limit });
      this.#pageSize.learn(items);
      const isLast = items.length < limit && this.#held.length < HELD && looks === this.#looks;
      if (isLast) this.#goLive(items.reduce(positionAfter, this.#seen), items);
      return items;
    } finally {
      this.#isReading = false;
    }
  }

  #goLive(position: Position, items: readonly Item[] = []): void {
    const place = position.in(0);
    this.#isBehind = false;
    this.#epoch = place ? epochIn(place) : "";
    this.#floor = this.#top = place?.at ?? 0;
    this.#lasts.clear();
    for (const item of items) {
      if (item.kind === "record") {
        this.#lasts.set(this.#options.subjectOf(item.channel), item.place!.at);
      }
    }
    for (const live of this.#held) {
      if (live.at > this.#floor && !this.#push(live)) return this.look();
    }
  }

  #give(items: readonly Item[]): ReadResult {
    if (items === this.#waiting) {
      this.#waiting = [];
      this.#bytes = 0;
    }
    this.#seen = items.reduce(positionAfter, this.#seen);
    return { done: false, value: items };
  }
}
