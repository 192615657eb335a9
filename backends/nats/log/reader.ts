/**
 * Reads pages of a stream, and finds out whether the message to resume after is gone.
 *
 * @module
 */

import type {
  BackendRecord,
  Item,
  Page,
  ReadOptions,
  Target,
} from "../../../core/backend/contract.ts";
import { ConnectionError } from "../../../core/backend/errors.ts";
import { type Place, Position } from "../../../core/backend/position.ts";
import { headersIn } from "../headers.ts";
import { channelOf, subjectOf, subjectsOf } from "../subject.ts";
import { checkIn, checkOfStored, epochIn, placeOf } from "./place.ts";
import { type State, type Store, timeOf } from "./store.ts";
import { type Stored, SubjectFilter } from "./subject_filter.ts";

/** How many messages a page before a position is made of at least, where not all may match. */
const LEAST = 256;

/** What lies behind a position, as it was read. */
interface Stretch {
  readonly after: Position;
  /** Why the stream cannot go on behind the position: it was read from its beginning. */
  readonly cause: "epoch" | "ahead" | undefined;
  /** The stream before that. */
  readonly begun: State;
  /** The sequence of the position. */
  readonly at: number;
  /** Whether its record came back. */
  readonly cameBack: boolean;
  /** What follows it. */
  readonly messages: readonly Stored[];
  /** How far that reaches. */
  readonly end: number;
}

/** What a target is called in the stream. */
export function filterOf(prefix: string, target: Target): string {
  return `${prefix}.${typeof target === "string" ? subjectOf(target) : subjectsOf(target)}`;
}

/** Reads pages, inclusive of the last record seen. */
export class Reader {
  readonly #store: Store;

  /** @param store The stream. */
  constructor(store: Store) {
    this.#store = store;
  }

  /** The position behind the last record of a target: of its own, if it has one. */
  async end(target: Target): Promise<Position> {
    const { epoch, last } = await this.#store.state();
    const own = await this.#store.find({ last_by_subj: filterOf(this.#store.name, target) });
    // Another one's tells as well whether the stream is still the same up to there.
    const found = own ?? (last > 0 ? await this.#store.find({ seq: last }) : undefined);
    const check = found && checkOfStored(found.data, found.header);
    return Position.of(placeOf(found?.seq ?? last, epoch, check));
  }

  /** A page of what a target has. */
  async read(target: Target, options: ReadOptions): Promise<Page> {
    const { after } = options;
    for (;;) {
      const begun = await this.#store.state();
      const found = after
        ? await this.#stretch(target, { ...options, after }, begun)
        : await this.#newest(target, options, begun);
      const now = await this.#store.state();
      // What was read of a stream that is gone would be taken for the new one's.
      if (now.epoch !== begun.epoch) continue;
      return "items" in found ? found : await this.#judge(target, found, now);
    }
  }

  /** Reads what lies behind a position, its own record included. */
  async #stretch(
    target: Target,
    { after, before, limit }: ReadOptions & { readonly after: Position },
    begun: State,
    isOther = false,
  ): Promise<Stretch> {
    const { epoch, last } = begun;
    const place = after.in(0) ?? placeOf(0, epoch);
    const { at } = place;
    const end = before?.in(0);
    const to = before ? end && epochIn(end) === epoch ? end.at : 0 : Infinity;
    const isAnew = isOther || epochIn(place) !== epoch;
    const cause = isAnew ? "epoch" : at > last ? "ahead" : undefined;
    const from = cause ? 0 : at;
    if (to <= from + 1) return { after, cause, begun, at, cameBack: true, messages: [], end: at };
    const count = cause ? limit : limit + 1;
    const view = await this.#open(target, from);
    const messages = await this.#take(view, to, count);
    await this.#checkEnd(target, view, messages, to, count);
    const cameBack = messages[0]?.at === from;
    if (!cause && await this.#isOther(place, cameBack ? messages[0] : undefined, begun)) {
      return await this.#stretch(target, { after, before, limit }, begun, true);
    }
    const fresh = messages.slice(cameBack ? 1 : 0).slice(0, limit);
    const reached = messages.length < count ? Math.min(last, to - 1) : fresh.at(-1)!.at;
    return { after, cause, begun, at, cameBack, messages: fresh, end: reached };
  }

  /** Whether another message has the place: the stream was set back, and went on otherwise. */
  async #isOther(place: Place, stored: Stored | undefined, { first }: State): Promise<boolean> {
    const check = checkIn(place);
    if (check === "" || place.at < first) return false;
    if (stored) return checkOfStored(stored.message.data, stored.message.headers) !== check;
    const found = await this.#store.find({ seq: place.at });
    return found !== undefined && checkOfStored(found.data, found.header) !== check;
  }

  /** Whether it follows the position, and what is told if it does not. */
  async #judge(target: Target, stretch: Stretch, now: State): Promise<Page> {
    const { after, cause, messages, end } = stretch;
    const items: Item[] = this.#records(target, messages, now.epoch);
    if (cause) items.unshift({ cause, restart: Position.of(placeOf(0, now.epoch)) });
    else if (stretch.end > stretch.at && await this.#misses(target, stretch, now)) {
      const restart = Position.of(placeOf(end, now.epoch));
      items.unshift({ cause: "trimmed", ...items.length === 0 && { restart } });
    }
    return { from: after, items };
  }

  /**
   * Whether anything between the position and the end of what was read behind it may be
   * missing. All that a stream forgets it forgets from the oldest on, as a whole or of
   * each channel: a channel whose last record is still there has lost nothing since.
   */
  async #misses(target: Target, stretch: Stretch, now: State): Promise<boolean> {
    const { begun, at, cameBack, messages, end } = stretch;
    const isChannel = typeof target === "string";
    if (now.first > at + 1 && (!cameBack || now.first !== begun.first)) return true;
    if (now.deleted === 0) return false;
    if (isChannel && cameBack) {
      return now.isCapped && await this.#store.find({ seq: at }) === undefined;
    }
    const to = isChannel ? (messages[0]?.at ?? end + 1) - 1 : end;
    const missing = await this.#store.deleted(at + 1, to);
    return missing === undefined || missing.length > 0;
  }

  #open(target: Target, from: number): Promise<SubjectFilter> {
    return SubjectFilter.open(this.#store, filterOf(this.#store.name, target), from);
  }

  async #take(view: SubjectFilter, to: number, limit: number): Promise<Stored[]> {
    try {
      return (await view.take(limit)).filter(({ at }) => at < to);
    } finally {
      view.close();
    }
  }

  /**
   * A server that is hard pressed was seen to say that there are no more messages,
   * where it had told of some. Unless they are gone by now it is asked again.
   */
  async #checkEnd(
    target: Target,
    { from, count: there }: SubjectFilter,
    messages: readonly Stored[],
    to: number,
    count: number,
  ): Promise<void> {
    if (to < Infinity || messages.length >= Math.min(there, count)) return;
    const left = await this.#count(target, (messages.at(-1)?.at ?? from - 1) + 1);
    if (left > 0) throw new ConnectionError("JetStream gave less than it has");
  }

  async #newest(target: Target, { before, limit }: ReadOptions, begun: State): Promise<Page> {
    const { epoch, first, last } = begun;
    const place = before?.in(0);
    const to = place ? epochIn(place) === epoch ? place.at : 0 : last + 1;
    if (to <= first) return { from: Position.of(placeOf(Math.max(0, to - 1), epoch)), items: [] };
    // The server narrows a pattern down, and no more: there may be a lot that does not match.
    const isChannel = typeof target === "string";
    const wanted = isChannel ? limit : Math.max(limit, LEAST);
    if (isChannel && limit === 1 && !before) return await this.#last(target, to, epoch);
    const { view, from, count } = await this.#before(target, first, to, to <= last, wanted);
    const messages = await this.#take(view, to, count);
    const items = this.#records(target, messages, epoch);
    const start = this.#startOf(target, items, wanted, limit);
    const earlier = items[start - 1]?.place?.at ?? (items.length > 0 ? from : to) - 1;
    return { from: Position.of(placeOf(earlier, epoch)), items: items.slice(start) };
  }

  /** What is asked for most needs no view. */
  async #last(channel: string, to: number, epoch: string): Promise<Page> {
    const message = await this.#store.find({
      last_by_subj: filterOf(this.#store.name, channel),
    });
    if (!message) return { from: Position.of(placeOf(to - 1, epoch)), items: [] };
    const { data, header: headers, seq: at, time, subject } = message;
    const stored = { at, timestamp: time.getTime(), message: { data, headers, subject } };
    return {
      from: Position.of(placeOf(at - 1, epoch)),
      items: this.#records(channel, [stored], epoch),
    };
  }

  /** Where the newest begin: of a channel or, with what lies between them, of all that match. */
  #startOf(target: Target, items: readonly Item[], wanted: number, limit: number): number {
    const start = Math.max(0, items.length - wanted);
    if (typeof target === "string") return start;
    const matching = items.flatMap((item, index) => {
      const { channel } = item as BackendRecord;
      return channel !== undefined && target.matches(channel) ? [index] : [];
    });
    return Math.max(start, matching.at(-limit) ?? 0);
  }

  /**
   * A view that begins so far before a sequence that more than so many lie between. A
   * stream is only read forwards: where they begin is guessed, and counted.
   */
  async #before(target: Target, first: number, to: number, isPast: boolean, wanted: number) {
    const later = isPast ? await this.#count(target, to) : 0;
    let low: number | undefined;
    let high = to;
    let from = Math.max(first, to - wanted - 8);
    for (;;) {
      const view = await this.#open(target, from);
      const count = view.count - later;
      const isEnough = count > wanted || from === first;
      if (isEnough && (count <= 4 * wanted + 64 || high - from <= 1)) return { view, from, count };
      view.close();
      if (isEnough) low = from;
      else high = from;
      // Twice as far as it would take if all lay as close as these.
      const stride = (to - from) * Math.min(16, 2 * (wanted + 1) / Math.max(1, count));
      from = low === undefined
        ? Math.max(first, Math.floor(to - stride))
        : Math.floor((low + high) / 2);
    }
  }

  async #count(target: Target, from: number): Promise<number> {
    const view = await this.#open(target, from);
    view.close();
    return view.count;
  }

  #records(target: Target, messages: readonly Stored[], epoch: string): Item[] {
    return messages.map(({ at, message, timestamp }) => {
      const time = timeOf(message) ?? (this.#store.tellsTime ? timestamp : undefined);
      const record = {
        payload: message.data,
        ...time !== undefined && { timestamp: time },
        headers: headersIn(message.headers),
        place: placeOf(at, epoch, checkOfStored(message.data, message.headers)),
      };
      if (typeof target === "string") return record;
      const channel = channelOf(message.subject.slice(this.#store.name.length + 1));
      // What no channel is called like is nobody's event.
      return channel === undefined ? { place: record.place } : { ...record, channel };
    });
  }
}
