/**
 * Reads pages of a stream, and checks the message to resume after.
 *
 * @module
 */

import type {
  Item,
  LogBreak,
  Page,
  ReadOptions,
  Removed,
  Target,
} from "../../../core/backend/contract.ts";
import { TemporaryError } from "../../../core/backend/errors.ts";
import { type Place, Position } from "../../../core/backend/position.ts";
import { headersIn } from "../headers.ts";
import type { Link } from "../link.ts";
import { channelOf, subjectOf, subjectsOf } from "../subject.ts";
import { checkIn, checkOfStored, epochIn, placeOf } from "./place.ts";
import { type State, type Store, timeOf } from "./store.ts";
import { type Stored, SubjectFilter } from "./subject_filter.ts";

/** The minimum size of a page before a position, if some messages may not match. */
const LEAST = 256;

/**
 * The fate of the message at a position. `kept` means that it came back, or that nothing shows
 * otherwise. After `replaced`, `ahead` and `recreated`, the stream is read from its start.
 *
 * - `removed`: the stream no longer has it.
 * - `replaced`: another message has its sequence.
 * - `ahead`: the stream ends before it.
 * - `recreated`: it belongs to an earlier stream.
 */
type Fate = "kept" | "removed" | "replaced" | "ahead" | "recreated";

/** Whether the places of the stream can be compared with the position. */
function isComparable(fate: Fate): boolean {
  return fate === "kept" || fate === "removed";
}

/** The messages after a position. */
interface Stretch {
  readonly after: Position;
  /** The state of the stream before the read. */
  readonly begun: State;
  /** The sequence of the position. */
  readonly at: number;
  readonly fate: Fate;
  /** Whether a message of the target is at the position. */
  readonly isOwn: boolean;
  /** The messages after the position. */
  readonly messages: readonly Stored[];
  /** The sequence up to which `messages` is complete. */
  readonly end: number;
}

/** The subject of a target in the stream. */
export function filterOf(prefix: string, target: Target): string {
  return `${prefix}.${typeof target === "string" ? subjectOf(target) : subjectsOf(target)}`;
}

/** Reads pages, including the last record that was seen. */
export class Reader {
  readonly #store: Store;

  /** @param store The stream. */
  constructor(store: Store) {
    this.#store = store;
  }

  /** The connection of the reader. */
  get link(): Link {
    return this.#store.link;
  }

  /** Whether the connection is lost. */
  get lost(): boolean {
    return this.link.lost;
  }

  /** Closes its connection. */
  close(): Promise<void> {
    return this.link.close();
  }

  /** The position after the last record of a target: the place of that record, if there is one. */
  async end(target: Target): Promise<Position> {
    const { epoch, last } = await this.#store.state();
    const own = await this.#store.find({ last_by_subj: filterOf(this.#store.name, target) });
    // The last message of the stream also shows whether the stream is the same up to there.
    const found = own ?? (last > 0 ? await this.#store.find({ seq: last }) : undefined);
    const check = found && checkOfStored(found.data, found.headers);
    return Position.of(placeOf(found?.seq ?? last, epoch, check));
  }

  /**
   * Whether the last record of a target is at a position, so that a page after it is empty. This
   * takes one request, and a page takes several. `false` can also mean that it is not known.
   */
  async isAtEnd(target: Target, position: Position): Promise<boolean> {
    const place = position.in(0);
    const check = place && checkIn(place);
    if (!check) return false;
    const { epoch } = await this.#store.state();
    if (epochIn(place) !== epoch) return false;
    const last = await this.#store.find({ last_by_subj: filterOf(this.#store.name, target) });
    return last?.seq === place.at && checkOfStored(last.data, last.headers) === check;
  }

  /** Whether another message is at a place, since the stream lost its end or was recreated. */
  async isReplaced(place: Place): Promise<boolean> {
    const { epoch } = await this.#store.state();
    if (epochIn(place) !== epoch) return true;
    const check = checkIn(place);
    const found = check === "" ? undefined : await this.#store.find({ seq: place.at });
    return found !== undefined && checkOfStored(found.data, found.headers) !== check;
  }

  /** Reads a page of a target. */
  async read(target: Target, options: ReadOptions): Promise<Page> {
    const { after } = options;
    for (;;) {
      const begun = await this.#store.state();
      const found = after
        ? await this.#stretch(target, { ...options, after }, begun)
        : await this.#newest(target, options, begun);
      const now = await this.#store.state();
      // Messages of a deleted stream would be mistaken for messages of the new one.
      if (now.epoch !== begun.epoch) continue;
      return "items" in found ? found : await this.#pageOf(target, found, options, now);
    }
  }

  /** Reads the messages after a position, and the message at it. */
  async #stretch(
    target: Target,
    options: ReadOptions & { readonly after: Position },
    begun: State,
    isReplaced = false,
  ): Promise<Stretch> {
    const { after, before, limit } = options;
    const { epoch, last } = begun;
    const place = after.in(0) ?? placeOf(0, epoch);
    const { at } = place;
    const end = before?.in(0);
    const to = before ? end && epochIn(end) === epoch ? end.at : 0 : Infinity;
    const lost = epochIn(place) !== epoch
      ? "recreated"
      : at > last
      ? "ahead"
      : isReplaced
      ? "replaced"
      : undefined;
    const from = lost ? 0 : at;
    if (to <= from + 1) {
      return { after, begun, at, fate: lost ?? "kept", isOwn: true, messages: [], end: at };
    }
    const count = lost ? limit : limit + 1;
    const view = await this.#open(target, from);
    const messages = await this.#take(view, to, count);
    await this.#checkEnd(target, view, messages, to, count);
    const own = messages[0]?.at === from ? messages[0] : undefined;
    const fate = lost ?? await this.#fateOf(place, own, begun);
    if (fate === "replaced" && !lost) return await this.#stretch(target, options, begun, true);
    const fresh = messages.slice(own ? 1 : 0).slice(0, limit);
    const reached = messages.length < count ? Math.min(last, to - 1) : fresh.at(-1)!.at;
    const isOwn = own !== undefined;
    return { after, begun, at, fate, isOwn, messages: fresh, end: reached };
  }

  /** The fate of the message at a place of this stream. */
  async #fateOf(place: Place, own: Stored | undefined, { first }: State): Promise<Fate> {
    const check = checkIn(place);
    if (check === "") return "kept";
    if (own) return checkOfStored(own.data, own.headers) === check ? "kept" : "replaced";
    const found = place.at < first ? undefined : await this.#store.find({ seq: place.at });
    if (!found) return "removed";
    return checkOfStored(found.data, found.headers) === check ? "kept" : "replaced";
  }

  /** Creates the page. It starts with a break if the message at the position did not come back. */
  async #pageOf(
    target: Target,
    stretch: Stretch,
    { before }: ReadOptions,
    now: State,
  ): Promise<Page> {
    const { after, fate, messages, end } = stretch;
    const found = await this.#breakOf(target, stretch, now);
    const records = this.#records(target, messages, now.epoch);
    const items: Item[] = found ? [found, ...records] : records;
    // The place where the stream continues, so that the same break is not found again and the
    // position belongs to this stream. If the stream starts over, nothing is skipped.
    if (messages.length === 0 && !before && (found || !after.in(0))) {
      const place = placeOf(isComparable(fate) ? end : 0, now.epoch);
      items.push({ kind: "skip", place });
    }
    return { from: after, items };
  }

  /**
   * The break, unless the message at the position and all later messages of the target are there.
   */
  async #breakOf(target: Target, stretch: Stretch, now: State): Promise<LogBreak | undefined> {
    const { begun: { epoch, last }, at, fate, end } = stretch;
    if (fate === "recreated") return { kind: "break", recreated: true, removed: "unknown" };
    const found = { kind: "break", recreated: false, removed: "unknown" } as const;
    if (fate === "replaced") return { ...found, replaced: true };
    // No channel has a message after the last one of the stream.
    if (fate === "ahead") return { ...found, head: placeOf(last, epoch) };
    const removed = end > at ? await this.#removed(target, stretch, now) : "none";
    return fate === "kept" && removed === "none" ? undefined : { ...found, removed };
  }

  /**
   * Whether messages between the position and the end of the stretch were removed. Their channels
   * are not known. A stream removes its oldest messages first, of all or of each channel. A channel
   * whose last record is still there has lost nothing since.
   */
  async #removed(target: Target, stretch: Stretch, now: State): Promise<Removed> {
    const { begun, at, isOwn, messages, end } = stretch;
    const isChannel = typeof target === "string";
    if (now.first > at + 1 && (!isOwn || now.first !== begun.first)) return "unknown";
    if (now.deleted === 0) return "none";
    if (isChannel && isOwn) {
      const isGone = now.isCapped && await this.#store.find({ seq: at }) === undefined;
      return isGone ? "unknown" : "none";
    }
    const to = isChannel ? (messages[0]?.at ?? end + 1) - 1 : end;
    const missing = await this.#store.deleted(at + 1, to);
    return missing?.length === 0 ? "none" : "unknown";
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
   * A server under load can report that there are no more messages, although it has counted more.
   * Unless they were removed since, the page is read again.
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
    if (left > 0) throw new TemporaryError("JetStream gave less than it has");
  }

  async #newest(target: Target, { before, limit }: ReadOptions, begun: State): Promise<Page> {
    const { epoch, first, last } = begun;
    const place = before?.in(0);
    const to = place ? epochIn(place) === epoch ? place.at : 0 : last + 1;
    if (to <= first) return { from: Position.of(placeOf(Math.max(0, to - 1), epoch)), items: [] };
    // The server only narrows a pattern, so many messages may not match.
    const isChannel = typeof target === "string";
    const wanted = isChannel ? limit : Math.max(limit, LEAST);
    if (isChannel && limit === 1 && !before) return await this.#last(target, to, epoch);
    const { view, from, count } = await this.#before(target, first, to, to <= last, wanted);
    const messages = await this.#take(view, to, count);
    const items = this.#records(target, messages, epoch);
    const start = this.#startOf(target, items, wanted, limit);
    const earlier = messages[start - 1]?.at ?? (items.length > 0 ? from : to) - 1;
    return { from: Position.of(placeOf(earlier, epoch)), items: items.slice(start) };
  }

  /** The newest record of a channel. This is the most frequent request, and needs no view. */
  async #last(channel: string, to: number, epoch: string): Promise<Page> {
    const message = await this.#store.find({
      last_by_subj: filterOf(this.#store.name, channel),
    });
    if (!message) return { from: Position.of(placeOf(to - 1, epoch)), items: [] };
    const { data, headers, seq: at, timestamp, subject } = message;
    const stored = { at, timestamp, data, headers, subject };
    return {
      from: Position.of(placeOf(at - 1, epoch)),
      items: this.#records(channel, [stored], epoch),
    };
  }

  /** The index of the first one of the newest records that match a target. */
  #startOf(target: Target, items: readonly Item[], wanted: number, limit: number): number {
    const start = Math.max(0, items.length - wanted);
    if (typeof target === "string") return start;
    const matching = items.flatMap((item, index) => {
      return item.kind === "record" && target.matches(item.channel!) ? [index] : [];
    });
    return Math.max(start, matching.at(-limit) ?? 0);
  }

  /**
   * A view that starts far enough before a sequence to have more than `wanted` messages. A stream
   * is only read forwards, so the start is estimated, and the messages are counted.
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
      // Twice the distance that would be needed if the earlier messages were as dense as these.
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
    return messages.map(({ at, data, headers, subject, timestamp }) => {
      const place = placeOf(at, epoch, checkOfStored(data, headers));
      const channel = typeof target === "string"
        ? undefined
        : channelOf(subject.slice(this.#store.name.length + 1));
      // The subject belongs to no channel.
      if (typeof target !== "string" && channel === undefined) return { kind: "skip", place };
      const time = timeOf(headers) ?? (this.#store.tellsTime ? timestamp : undefined);
      return {
        kind: "record",
        payload: data,
        ...time !== undefined && { timestamp: time },
        headers: headersIn(headers),
        place,
        ...channel !== undefined && { channel },
      };
    });
  }
}
