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
  LogGap,
  Page,
  Payload,
  ReadOptions,
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
    return Position.of(
      ...this.shards.map(({ records }, shard) => this.#place(shard, records.length)),
    );
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
    return { from: Position.of(...before), items: page };
  }

  #behind(after: Position, until: readonly number[], count: number): Page {
    const cause = this.#contradiction(after);
    const from = cause ? this.begin : after;
    const items: Item[] = [];
    const queues = this.shards.map(({ records, first }, shard) => {
      const seen = from.in(shard)?.at ?? 0;
      const missed = records.slice(seen, Math.max(seen, first - 1));
      const next = records.slice(Math.max(seen, first - 1), Math.max(0, until[shard]!));
      // The record itself is gone: nobody knows whether it was of this log.
      const isUnknown = !this.#options.namesLog && seen > 0 && seen < first &&
        seen < records.length && !cause;
      return { shard, next, missed, hasGap: missed.length > 0 || isUnknown, head: first - 1 };
    });
    let position = from;
    let left = count;
    if (cause) items.push({ cause, restart: from });
    for (;;) {
      const open = queues.filter(({ next, hasGap }) => next.length > 0 || hasGap);
      const queue = this.#options.random?.of(open) ?? open[0];
      if (!queue || left <= 0) break;
      if (queue.hasGap) {
        const { length } = queue.missed.filter(({ payload }) => payload !== undefined);
        const gap: LogGap = {
          cause: "trimmed",
          ...this.#options.counts && this.#options.namesLog && { missed: length },
        };
        queue.hasGap = false;
        const place = this.#place(queue.shard, queue.head);
        if (queue.next.length === 0 || this.#options.random?.once(2)) {
          position = Position.of(
            place,
            ...position.places.filter(({ shard }) => shard !== queue.shard),
          );
          items.push({ ...gap, restart: position });
          continue;
        }
        items.push(gap);
      }
      const record = queue.next.shift()!;
      position = position.with(record.place);
      items.push(record);
      left--;
    }
    return { from: after, items };
  }

  /** Whether a position is one of another log. */
  #contradiction(after: Position): LogGap["cause"] | undefined {
    for (const { shard, at, fingerprint } of after.places) {
      const records = this.shards[shard]?.records ?? [];
      if (this.#options.namesLog && fingerprint !== `e${this.epoch}` && fingerprint !== "") {
        return "epoch";
      }
      if (at > records.length) return "ahead";
      if (at === 0 && fingerprint !== "" && fingerprint !== `e${this.epoch}`) return "epoch";
      const known = at >= this.shards[shard]!.first || at === records.length;
      if (
        at > 0 && known && fingerprint !== "" && records[at - 1]!.place.fingerprint !== fingerprint
      ) {
        return "epoch";
      }
    }
    return undefined;
  }

  /** The position before its oldest records. */
  get begin(): Position {
    return Position.of(...this.shards.map(({ first }, shard) => this.#place(shard, first - 1)));
  }

  #place(shard: number, at: number): Place {
    // Before the first record there is none to recognise the log by.
    return this.shards[shard]!.records[at - 1]?.place ??
      { shard, at: 0, sub: 0, fingerprint: `e${this.epoch}` };
  }
}

/** A broker that keeps logs. */
export class FakeBackend implements Backend {
  readonly name = "fake";
  readonly address = "fake://";
  readonly features: BackendFeatures = { crossProcess: true, binary: true, log: true };
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

  async publish(channel: string, payloads: readonly Payload[]): Promise<void> {
    for (const payload of payloads) this.append(channel, payload);
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
  readonly records: ReadableStream<readonly Item[]>;
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
    this.#told?.push(record);
    this.hint();
  }

  hint(): void {
    if (this.#asking) void this.#options.hint(() => this.#asking!.wake());
  }

  wiped(told: boolean): void {
    if (told) this.#told?.push({ cause: "epoch", restart: this.#options.log.begin });
    else if (this.#told) this.lose();
    this.hint();
  }

  lose(): void {
    const reason = new ConnectionError("the tail is lost");
    this.#asking?.error(reason);
    this.#told?.error(reason);
  }
}

function emptyShard(): Shard {
  return { records: [], first: 1 };
}
