/**
 * A log for tests: shards, trimming, wiping, control records, replicas that lag, reads that fail,
 * tails that are lost.
 *
 * @module
 */

import type {
  Backend,
  BackendFeatures,
  Item,
  LogBreak,
  OutgoingPayload,
  Page,
  Payload,
  ReadOptions,
  RecordReader,
  Tail,
  TailOptions,
} from "../../../core/backend/contract.ts";
import { PollingTail } from "../../../core/backend/kit/polling_tail.ts";
import { QueueTail } from "../../../core/backend/kit/queue_tail.ts";
import { type Place, Position } from "../../../core/backend/position.ts";
import { ConnectionError } from "../../../mod.ts";
import type { Random } from "../../conformance/random.ts";
import { microtasks } from "./clock.ts";

/** One record of a shard. */
export interface FakeRecord {
  /** Counts all records of the log, in the order in which they were accepted. */
  readonly order: number;
  /** Which log it belongs to: counts the wipes. */
  readonly epoch: number;
  /** Its place. */
  readonly place: Place;
  /** What was published; nothing for a control record. */
  readonly payload: Payload | undefined;
}

/** The records of one shard, by `at` from 1. */
interface Shard {
  /** All there have ever been since the log was begun. */
  readonly records: FakeRecord[];
  /** The `at` of the oldest that is stored; one more than the newest if none is. */
  first: number;
}

/** How a fake log behaves. */
export interface FakeOptions {
  /** What chooses, where there is a choice: the order of shards, sizes of pages, delays, failures. */
  readonly random?: Random | undefined;
  /** How many shards there are at first. */
  readonly shards?: number;
  /** The tail asks (`PollingTail`) instead of being told. */
  readonly asks?: boolean;
  /** The fingerprint names the log, not the record. */
  readonly namesLog?: boolean;
  /** How many are missing is known. */
  readonly counts?: boolean;
  /** While it is `true`, a lost tail concerns its channel alone; without it, the connection. */
  readonly connected?: boolean | undefined;
}

/** The log of one channel, as the broker has it. */
export class FakeLog {
  /** Counts the wipes. */
  epoch = 0;
  /** Every record there has ever been, of every epoch. */
  readonly all: FakeRecord[] = [];
  /** What is stored. */
  shards: Shard[];
  readonly #options: FakeOptions;

  /** @param options How it behaves. */
  constructor(options: FakeOptions) {
    this.#options = options;
    this.shards = Array.from({ length: options.shards ?? 1 }, emptyShard);
  }

  /** Adds a record; without a payload, a control record. */
  append(shard: number, payload?: Payload): FakeRecord {
    const { records } = this.shards[shard]!;
    const at = records.length + 1;
    const order = this.all.length;
    const fingerprint = this.#options.namesLog ? `e${this.epoch}` : `r${order.toString(36)}`;
    const record = { order, epoch: this.epoch, place: { shard, at, sub: 0, fingerprint }, payload };
    records.push(record);
    this.all.push(record);
    return record;
  }

  /** Forgets the oldest records of a shard. */
  trim(shard: number, count: number): void {
    const { records, first } = this.shards[shard]!;
    this.shards[shard]!.first = Math.min(records.length + 1, first + count);
  }

  /** Loses its newest records, as a failover to a replica that lags does: it goes on differently. */
  cut(shard: number, count: number): void {
    this.shards[shard]!.records.splice(-count);
  }

  /** Begins anew: the places are given again. */
  wipe(): void {
    this.epoch++;
    this.shards = this.shards.map(emptyShard);
  }

  /** Adds a shard. */
  grow(): void {
    this.shards.push(emptyShard());
  }

  /** The position behind its newest records. */
  get end(): Position {
    return positionOf(this.shards.map(({ records }, shard) => this.#place(shard, records.length)));
  }

  /**
   * A page.
   *
   * @param most How many records it has at most, whatever is asked for.
   * @param lag How many of the newest records of each shard are not to be seen yet.
   */
  read({ after, before, limit }: ReadOptions, most = Infinity, lag = 0): Page {
    const count = Math.min(limit, most);
    const until = this.shards.map(({ records }, shard) => {
      const last = before?.in(shard);
      const end = records.length - lag;
      if (!before) return end;
      // The record of the id itself is not before it, those that were seen by then are.
      return Math.min(end, last ? last.at - (last === before.newest ? 1 : 0) : 0);
    });
    return after ? this.#behind(after, until, count) : this.#newest(until, count);
  }

  #newest(until: readonly number[], count: number): Page {
    const stored = this.shards.flatMap(({ records, first }, shard) =>
      records.slice(first - 1, Math.max(0, until[shard]!))
    );
    const page = stored.sort((one, other) => one.order - other.order).slice(-count);
    const before = this.shards.map((shard, index) => {
      const first = page.find(({ place }) => place.shard === index);
      return this.#place(
        index,
        first ? first.place.at - 1 : Math.max(shard.first - 1, until[index]!),
      );
    });
    return { from: positionOf(before), items: page.map(itemOf) };
  }

  #behind(after: Position, until: readonly number[], count: number): Page {
    const items: Item[] = [];
    const queues = this.shards.map(({ records, first }, shard) => {
      const found = this.#breakOf(shard, after.in(shard));
      const startsOver = found !== undefined && this.#startsOver(shard, after.in(shard));
      const seen = startsOver ? 0 : after.in(shard)?.at ?? 0;
      const next = records.slice(Math.max(seen, first - 1), Math.max(0, until[shard]!));
      return { shard, next, found, startsOver, head: first - 1 };
    });
    const tell = (queue: typeof queues[number]) => {
      items.push(queue.found!);
      queue.found = undefined;
      // A shard that starts over, and not from its first record, says where.
      if (queue.next.length > 0 && !(queue.startsOver && queue.head > 0)) return;
      const place = this.#place(queue.shard, queue.head);
      if (place) items.push({ kind: "skip", place });
    };
    // What shows that it is another log is told before any record.
    for (const queue of queues) if (queue.startsOver) tell(queue);
    for (let left = count; left > 0;) {
      const open = queues.filter(({ next, found }) => next.length > 0 || found);
      const queue = this.#options.random?.of(open) ?? open[0];
      if (!queue) break;
      if (queue.found) tell(queue);
      const record = queue.next.shift();
      if (!record) continue;
      items.push(itemOf(record));
      left--;
    }
    return { from: after, items };
  }

  /** The facts about a shard, if the record of a place did not come back. */
  #breakOf(shard: number, seen: Place | undefined): LogBreak | undefined {
    const { records, first } = this.shards[shard]!;
    const { counts, namesLog } = this.#options;
    const none = { shard, at: -1, sub: 0, fingerprint: "" };
    const head = this.#place(shard, records.length) ?? none;
    const at = seen?.at ?? 0;
    const fact = { kind: "break" as const, shard, head };
    if (this.#startsOver(shard, seen)) {
      // Of several shards one cannot be another log's, and the others not.
      return {
        ...fact,
        recreated: namesLog || this.shards.length > 1 ? true : undefined,
        replaced: at <= records.length,
        removed: "unknown",
      };
    }
    const missed = records.slice(at, Math.max(at, first - 1));
    // The record itself is gone: nobody knows whether it was of this log.
    const isUnknown = !namesLog && at > 0 && at < first && at < records.length;
    if (missed.length === 0 && !isUnknown) return undefined;
    const { length } = missed.filter(({ payload }) => payload !== undefined);
    const removed = counts && namesLog ? length : missed.length > 0 ? "some" : "unknown";
    return { ...fact, removed };
  }

  /** Whether a place is one of another log. */
  #startsOver(shard: number, seen: Place | undefined): boolean {
    if (seen === undefined || seen.fingerprint === "") return false;
    const { at, fingerprint } = seen;
    const { records, first } = this.shards[shard]!;
    if (this.#options.namesLog && fingerprint !== `e${this.epoch}`) return true;
    if (at > records.length) return true;
    return at > 0 && (at >= first || at === records.length) &&
      records[at - 1]!.place.fingerprint !== fingerprint;
  }

  /** The position before its oldest records. */
  get begin(): Position {
    return positionOf(this.shards.map(({ first }, shard) => this.#place(shard, first - 1)));
  }

  #place(shard: number, at: number): Place | undefined {
    const { place } = this.shards[shard]!.records[at - 1] ?? {};
    // Before the first record there is none to recognise the log by, unless the log has a name.
    if (place || !this.#options.namesLog) return place;
    return { shard, at: 0, sub: 0, fingerprint: `e${this.epoch}` };
  }
}

/** A broker that keeps logs. */
export class FakeBackend implements Backend {
  readonly name = "fake";
  readonly address = "fake://";
  readonly features: BackendFeatures = { crossProcess: true, binary: true };
  /** From now on nothing fails, lags or is late. */
  calm = false;
  /** How many reads there were. */
  reads = 0;
  readonly #options: FakeOptions;
  readonly #logs = new Map<string, FakeLog>();
  readonly #tails = new Map<string, FakeTail>();

  /** @param options How it behaves. */
  constructor(options: FakeOptions = {}) {
    this.#options = options;
  }

  get connected(): boolean {
    return this.#options.connected as boolean;
  }

  /** The log of a channel. */
  log(channel: string): FakeLog {
    const log = this.#logs.get(channel) ?? new FakeLog(this.#options);
    this.#logs.set(channel, log);
    return log;
  }

  async publish(messages: readonly OutgoingPayload[]): Promise<void> {
    for (const { channel, payload } of messages) this.append(channel, payload);
    await this.#pause();
  }

  /** Adds a record to a shard, and tells the tail. */
  append(channel: string, payload?: Payload, shard?: number): void {
    const log = this.log(channel);
    const record = log.append(
      shard ?? this.#options.random?.below(log.shards.length) ?? 0,
      payload,
    );
    this.#tails.get(channel)?.tell(record);
  }

  /** Wipes a log; a tail that is told what comes is told, or lost. */
  wipe(channel: string): void {
    this.log(channel).wipe();
    this.#tails.get(channel)?.wiped(this.#options.random?.once(2) ?? true);
  }

  /** Loses the tail of a channel. */
  lose(channel: string): void {
    this.#tails.get(channel)?.lose();
    this.#tails.delete(channel);
  }

  /** Hints that there may be something new. */
  hint(channel: string): void {
    this.#tails.get(channel)?.hint();
  }

  async tail(channel: string, { after }: TailOptions = {}): Promise<Tail> {
    await this.#pause();
    if (this.#fails(6)) throw new ConnectionError("no tail");
    const log = this.log(channel);
    const tail = new FakeTail({
      log,
      after,
      asks: this.#options.asks ?? false,
      read: async (options) => {
        await this.#pause();
        if (this.#fails(30)) throw new ConnectionError("the tail cannot read");
        // What a tail reads may be late, not short: it would not ask again.
        return log.read(options);
      },
      // A hint may come late, or not at all: the next one brings what it would have brought.
      hint: async (wake) => {
        if (!this.calm && this.#options.random?.once(4)) return;
        await this.#pause();
        wake();
      },
      cancel: () => {
        if (this.#tails.get(channel) === tail) this.#tails.delete(channel);
      },
    });
    this.#tails.set(channel, tail);
    await this.#pause();
    return { position: tail.position, records: tail.records };
  }

  async read(channel: string, options: ReadOptions): Promise<Page> {
    this.reads++;
    const { random } = this.#options;
    await this.#pause();
    if (this.#fails(12)) throw new ConnectionError("cannot read");
    const lag = !this.calm && random?.once(4) ? random.below(4) : 0;
    const page = this.log(channel).read(options, random ? 1 + random.below(6) : Infinity, lag);
    await this.#pause();
    return page;
  }

  close(): Promise<void> {
    for (const tail of this.#tails.values()) tail.lose();
    this.#tails.clear();
    return Promise.resolve();
  }

  #fails(times: number): boolean {
    return !this.calm && this.#options.random?.once(times) === true;
  }

  async #pause(): Promise<void> {
    const { random } = this.#options;
    if (!random || this.calm) return;
    const kind = random.below(5);
    if (kind === 1) await microtasks(3);
    else if (kind > 2) {
      const milliseconds = random.below(4);
      await new Promise((resolve) => setTimeout(resolve, milliseconds));
    }
  }
}

/** What a fake tail needs to know. */
interface FakeTailOptions {
  readonly log: FakeLog;
  readonly after: Position | undefined;
  readonly asks: boolean;
  readonly read: (options: ReadOptions) => Promise<Page>;
  readonly hint: (wake: () => void) => Promise<void>;
  readonly cancel: () => void;
}

/** A tail that asks, or is told. */
class FakeTail implements Tail {
  readonly position: Position;
  readonly records: RecordReader;
  readonly #options: FakeTailOptions;
  readonly #asking: PollingTail | undefined;
  readonly #told: QueueTail | undefined;

  constructor(options: FakeTailOptions) {
    this.#options = options;
    const { log, after, asks, read, cancel } = options;
    this.position = after ?? log.end;
    if (asks) {
      this.#asking = new PollingTail({ position: this.position, read, cancel });
      this.records = this.#asking.records;
      return;
    }
    this.#told = new QueueTail(cancel);
    this.records = this.#told.records;
    for (const item of after ? log.read({ after, limit: Infinity }).items : []) {
      this.#told.push(item);
    }
  }

  tell(record: FakeRecord): void {
    this.#told?.push(itemOf(record));
    this.hint();
  }

  hint(): void {
    if (this.#asking) void this.#options.hint(() => this.#asking!.wake());
  }

  wiped(told: boolean): void {
    const { log } = this.#options;
    if (told) {
      log.shards.forEach((_, shard) =>
        this.#told?.push({ kind: "break", shard, recreated: true, removed: "unknown" })
      );
    } else if (this.#told) this.lose();
    this.hint();
  }

  lose(): void {
    const reason = new ConnectionError("the tail is lost");
    this.#asking?.error(reason);
    this.#told?.error(reason);
  }
}

/** A record as the core takes it. */
export function itemOf({ place, payload }: FakeRecord): Item {
  return payload === undefined ? { kind: "skip", place } : { kind: "record", place, payload };
}

function positionOf(places: readonly (Place | undefined)[]): Position {
  return Position.of(...places.filter((place) => place !== undefined));
}

function emptyShard(): Shard {
  return { records: [], first: 1 };
}
