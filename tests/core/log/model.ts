/**
 * Random lives of subscribers on a log, against what must hold whatever happens.
 *
 * @module
 */

import { Position } from "../../../core/backend/position.ts";
import { endMark, reasonOfEnd } from "../../../core/codec/envelope.ts";
import { Broadcast, type BroadcastEvent, type Gap, type Subscription, text } from "../../../mod.ts";
import type { Random } from "../../conformance/random.ts";
import { Clock, microtasks } from "./clock.ts";
import { FakeBackend, type FakeLog, type FakeRecord } from "./fake.ts";

const CHANNEL = "c";

/** An id that somebody was given, and the log that it is of. */
interface Known {
  readonly id: string;
  readonly epoch: number;
}

/** What a subscriber has of one shard. */
interface Seen {
  /** The `at` up to which it needs nothing more; unknown before its first event. */
  at: number | undefined;
  /** Whether it was told of a gap since. */
  gap: boolean;
}

/** One subscriber, and what it was given. */
class Reader {
  subscription: Subscription;
  pace: "fast" | "slow" | "stalled";
  ended = false;
  /** Whether it was made to end. */
  closed = false;
  /** The newest event of each shard, of the newest log. */
  epoch: number;
  seen = new Map<number, Seen>();
  /** What it must have been given at the end: the places behind these. */
  readonly required: ReadonlyMap<number, number>;
  readonly requiredEpoch: number;
  /** Told since the last event. */
  told: Gap[] = [];
  readonly listens: boolean;
  finals = new Set<string>();
  readonly #log: FakeLog;
  readonly #problems: Set<string>;
  readonly #ids: Known[];
  readonly #what: string;
  readonly trace: string[] = [];

  constructor(
    { subscription, pace, listens, start, log, problems, ids, what, told }: {
      readonly subscription: Subscription;
      readonly pace: Reader["pace"];
      readonly listens: boolean;
      readonly start: { readonly position: Position; readonly epoch: number } | undefined;
      readonly log: FakeLog;
      readonly problems: Set<string>;
      readonly ids: Known[];
      readonly what: string;
      readonly told: Gap[];
    },
    other?: Reader,
  ) {
    this.subscription = subscription;
    this.pace = pace;
    this.listens = listens;
    this.told = told;
    this.#log = log;
    this.#problems = problems;
    this.#ids = ids;
    this.#what = what;
    // Who starts live may be given what was published before.
    this.epoch = start?.epoch ?? -1;
    this.requiredEpoch = other?.requiredEpoch ?? start?.epoch ?? log.epoch;
    this.required = other?.required ?? new Map(
      log.shards.map(({ records }, shard) =>
        start ? [shard, placeIn(log, start, shard)] : [shard, records.length]
      ),
    );
    this.trace.push(
      `${what} ${pace} ${start?.position ?? ""} ${
        [...this.required].join(" ")
      } in ${this.requiredEpoch}`,
    );
    if (start) {
      for (const [shard, at] of this.required) {
        this.seen.set(shard, { at, gap: false });
      }
    }
  }

  /** One that was given the same so far. */
  twin(subscription: Subscription): Reader {
    const twin = new Reader({
      ...{ subscription, pace: this.pace, listens: this.listens, start: undefined, told: [] },
      ...{ log: this.#log, problems: this.#problems, ids: this.#ids, what: this.#what },
    }, this);
    twin.epoch = this.epoch;
    twin.closed = this.closed;
    twin.seen = new Map([...this.seen].map(([shard, seen]) => [shard, { ...seen }]));
    twin.finals = new Set(this.finals);
    twin.trace.splice(0, Infinity, ...this.trace, "teed");
    this.trace.push("teed");
    return twin;
  }

  #problem(what: string): void {
    this.#problems.add(`${what} (${this.#what})`);
    this.trace.push(`!!! ${what}`);
  }

  of(shard: number): Seen {
    let seen = this.seen.get(shard);
    if (!seen) {
      // A shard that came later was not begun. Of one that was there, it may start anywhere.
      const isNew = !this.required.has(shard) || this.epoch > this.requiredEpoch;
      seen = { at: isNew ? 0 : undefined, gap: false };
      this.seen.set(shard, seen);
    }
    return seen;
  }

  /** It was told of a gap. */
  tell(gap: Gap): void {
    this.trace.push(`gap ${gap.cause} ${gap.missed ?? "?"} after ${gap.after}`);
    for (let shard = 0; shard < this.#log.shards.length; shard++) this.of(shard).gap = true;
    for (const seen of this.seen.values()) seen.gap = true;
  }

  receive(event: BroadcastEvent): void {
    const { message, gap, id } = event;
    const record = this.#log.all.find(({ payload }) => payload === message);
    this.trace.push(`${message} ${id.slice(15)}${gap ? ` gap ${gap.cause}` : ""}`);
    if (!record) return this.#problem("an event that nobody published");
    const { epoch, place: { shard, at } } = record;
    if (gap) this.tell(gap);
    if (this.listens && (gap !== undefined) !== (this.told.length > 0)) {
      this.#problem("onGap and the event do not agree");
    }
    this.told = [];
    const known = this.of(shard);
    if (epoch < this.epoch) return this.#problem("an event of a log that was gone");
    if (this.epoch < 0 && epoch <= this.requiredEpoch) this.epoch = epoch;
    if (epoch > this.epoch) this.#beginAnew(epoch, known);
    const seen = this.of(shard);
    const required = epoch === this.requiredEpoch ? this.required.get(shard) : undefined;
    if (seen.at === undefined && required !== undefined) seen.at = Math.min(required, at - 1);
    if (seen.at !== undefined) {
      const restarted = gap?.cause === "reset" || gap?.cause === "rollback";
      if (at <= seen.at && !restarted) this.#problem("an event comes twice, or late");
      const missing = this.#between(epoch, shard, seen.at, at);
      const events = missing.filter(({ payload }) => isEvent(payload)).length;
      if (events > 0 && !seen.gap) this.#problem(`${events} events are missing without a gap`);
      if (missing.some(hasEnded) && !seen.gap) this.#problem("it goes on after an end");
      // Others do not know where they started.
      const isExact = this.#what === "after" && gap?.missed !== undefined &&
        this.#log.shards.length === 1 && !restarted;
      if (isExact && (gap.missed! < events || gap.missed! > missing.length)) {
        this.#problem(`a gap of ${gap.missed} events is one of ${events}`);
      }
    }
    seen.at = at;
    seen.gap = false;
    this.#checkId(id, record);
    this.#ids.push({ id, epoch });
    if (message.startsWith("final")) this.finals.add(message);
  }

  /** It is done, by itself: it has come to an end, and to nothing else before. */
  finish(): void {
    const isHere = (end: FakeRecord) => {
      const { shard, at } = end.place;
      if (this.epoch >= 0 && end.epoch < this.epoch) return false;
      const seen = this.of(shard);
      if (seen.at === undefined || seen.gap || end.epoch !== this.epoch) return true;
      const between = this.#between(end.epoch, shard, seen.at, at);
      return at > seen.at && !between.some(({ payload }) => isEvent(payload));
    };
    if (!this.#log.all.filter(hasEnded).some(isHere)) {
      this.#problem("it is done, and nothing ended");
    }
  }

  #beginAnew(epoch: number, known: Seen): void {
    const gap = known.gap || [...this.seen.values()].some((seen) => seen.gap);
    // A beginning has no record to be recognised by: what came behind it may be gone unseen.
    // Nor has a place that lags: a tail that has yet to be woken, a replica.
    const isBlind = this.epoch < 0 &&
      (this.#what !== "after" || [...this.required.values()].every((at) => at === 0));
    if (!gap && !isBlind && this.#unread(epoch) > 0) this.#problem("another log without a gap");
    this.epoch = epoch;
    this.seen = new Map(
      this.#log.shards.map((_, shard) => [shard, { at: 0, gap }] as const),
    );
  }

  /** How many events of earlier logs it was not given. */
  #unread(epoch: number): number {
    const own = this.epoch < 0 ? this.requiredEpoch : this.epoch;
    return this.#log.all.filter(({ epoch: its, place, payload }) => {
      if (!isEvent(payload) || its < own || its >= epoch) return false;
      const from = this.of(place.shard).at ?? this.required.get(place.shard) ?? 0;
      return its > own || place.at > from;
    }).length;
  }

  /** An id claims no more than what was given, or was told to be missing. */
  #checkId(id: string, { epoch, place }: FakeRecord): void {
    const position = Position.parse(id.slice(15));
    if (!position) return this.#problem("an id that cannot be parsed");
    if (!position.covers(place)) this.#problem("an id that lacks its own event");
    for (const { shard } of position.places) {
      const at = placeIn(this.#log, { epoch, position }, shard);
      const seen = this.of(shard);
      if (seen.at === undefined || seen.gap) continue;
      const events = this.#between(epoch, shard, seen.at, at + 1)
        .filter(({ payload }) => isEvent(payload));
      if (events.length > 0) this.#problem("an id that claims events which were not given");
    }
  }

  /** The records of a shard between two places. */
  #between(epoch: number, shard: number, from: number, to: number): FakeRecord[] {
    return this.#log.all.filter(({ epoch: its, place, payload }) =>
      its === epoch && place.shard === shard && place.at > from && place.at < to &&
      payload !== undefined
    );
  }
}

/** How far a position has come in a shard of a log: a place of an earlier log says nothing of it. */
function placeIn(
  { all }: FakeLog,
  { epoch, position }: { readonly epoch: number; readonly position: Position },
  shard: number,
): number {
  const place = position.in(shard);
  const isOwn = all.some((record) =>
    record.epoch === epoch && record.place.shard === shard && record.place.at === place?.at &&
    record.place.fingerprint === place.fingerprint
  );
  return isOwn ? place!.at : 0;
}

function isEvent(payload: FakeRecord["payload"]): boolean {
  return payload !== undefined && reasonOfEnd(payload) === undefined &&
    !String(payload).startsWith("bad");
}

function hasEnded({ payload }: FakeRecord): boolean {
  return payload !== undefined && reasonOfEnd(payload) !== undefined;
}

function close(reader: Reader | undefined): void {
  if (!reader) return;
  reader.closed = true;
  reader.subscription.close();
}

/** One broadcast on one log, from its first call to its last. */
export async function life(random: Random, problems: Set<string>): Promise<void> {
  const clock = new Clock(random);
  try {
    await new Life(random, clock, problems).run();
  } finally {
    clock.restore();
  }
}

class Life {
  readonly #random: Random;
  readonly #clock: Clock;
  readonly #problems: Set<string>;
  readonly #backend: FakeBackend;
  readonly #broadcast: Broadcast;
  readonly #readers: Reader[] = [];
  readonly #ids: Known[] = [];
  readonly #calls = new Set<string>();
  readonly #wipes: boolean;
  readonly #trims: boolean;
  readonly #ends: boolean;
  #released = false;
  #messages = 0;

  constructor(random: Random, clock: Clock, problems: Set<string>) {
    this.#random = random;
    this.#clock = clock;
    this.#problems = problems;
    this.#wipes = random.once(2);
    this.#ends = random.once(3);
    const namesLog = random.once(2);
    // Whether a record was trimmed, or was of a log that is gone, its fingerprint alone cannot tell.
    this.#trims = namesLog || !this.#wipes;
    this.#backend = new FakeBackend({
      random,
      shards: random.once(2) ? 1 : 3,
      asks: random.once(2),
      namesLog,
      counts: random.once(2),
      connected: random.once(3) ? undefined : true,
    });
    const codec = {
      ...text(),
      decode: (payload: string | Uint8Array) => {
        if (String(payload).startsWith("bad")) throw new Error("bad");
        return String(payload);
      },
    };
    this.#broadcast = new Broadcast(this.#backend, {
      codec,
      linger: random.once(3) ? 3 : 0,
      buffer: 2 + random.below(15),
    }) as unknown as Broadcast;
  }

  get #log(): FakeLog {
    return this.#backend.log(CHANNEL);
  }

  async run(): Promise<void> {
    const before = this.#random.below(30);
    for (let index = 0; index < before; index++) this.#append();
    for (let step = 0; step < 50; step++) await this.#step();
    await this.#calmDown();
    this.#call("disconnect", this.#broadcast.disconnect());
    await this.#clock.pass(1_000);
    await this.#clock.settle(50);
    for (const call of this.#calls) this.#problems.add(`${call} never settles`);
    for (const { ended } of this.#readers) {
      if (!ended) this.#problems.add("a subscription never ends");
    }
    if (this.#problems.size > 0) this.#show();
  }

  /** What the subscribers with a problem were given, for whoever looks into it. */
  #show(): void {
    for (const { trace } of this.#readers) {
      if (trace.some((line) => line.startsWith("!!!"))) this.#problems.add(trace.join("\n"));
    }
  }

  async #step(): Promise<void> {
    const random = this.#random;
    const what = random.below(14);
    if (what < 4) this.#subscribe();
    else if (what < 7) { for (let count = random.below(6); count > 0; count--) this.#append(); }
    else if (what === 7) { for (let count = random.below(40); count > 0; count--) this.#append(); }
    else if (what === 8) this.#publish();
    else if (what === 9) close(random.of(this.#readers));
    else if (what === 10 && this.#trims) {
      this.#log.trim(random.below(this.#log.shards.length), random.below(20));
    } else if (what === 11) this.#backend.lose(CHANNEL);
    else if (what === 12 && this.#wipes && random.once(2)) this.#backend.wipe(CHANNEL);
    else if (what === 13 && random.once(6) && this.#log.shards.length === 3) this.#log.grow();
    const wait = random.below(4);
    if (wait === 1) await microtasks(random.below(20));
    else if (wait === 2) await this.#clock.settle();
    else if (wait === 3) await this.#clock.pass(random.below(8));
  }

  /** Once the broker is well, everybody who reads is given what is published. */
  async #calmDown(): Promise<void> {
    this.#backend.calm = true;
    this.#released = true;
    await this.#rest();
    const finals: string[] = [];
    for (let shard = 0; shard < this.#log.shards.length; shard++) {
      for (let count = 0; count < 3; count++) {
        const message = `final ${this.#messages++}`;
        finals.push(message);
        this.#backend.append(CHANNEL, message, shard);
      }
    }
    this.#backend.hint(CHANNEL);
    await this.#rest();
    for (const reader of this.#readers) {
      if (reader.ended) continue;
      const lacks = finals.filter((message) => !reader.finals.has(message));
      if (lacks.length > 0) {
        this.#problems.add(`a subscriber lacks ${lacks.length} at the end`);
        reader.trace.push("!!! lacks");
      }
      // Who started behind a place has passed all that lay behind it.
      for (const [shard, at] of reader.required) {
        if (reader.epoch !== reader.requiredEpoch) continue;
        if ((reader.of(shard).at ?? -1) < at) {
          this.#problems.add("a subscriber stops before its start");
        }
      }
    }
    for (const reader of this.#readers) close(reader);
  }

  /** What the tail has read moves in turns, and behind that it may be opened again, in time. */
  async #rest(): Promise<void> {
    for (let count = 0; count < 3; count++) {
      this.#backend.hint(CHANNEL);
      await this.#clock.pass(20_000);
      await this.#clock.settle(200);
    }
  }

  #append(): void {
    const random = this.#random;
    if (random.once(10)) return this.#backend.append(CHANNEL);
    if (this.#ends && random.once(12)) return this.#backend.append(CHANNEL, endMark(""));
    const kind = random.once(6) ? "bad" : "m";
    this.#backend.append(CHANNEL, `${kind}${this.#messages++}`);
  }

  #publish(): void {
    const message = `m${this.#messages++}`;
    this.#call(
      "publish",
      this.#broadcast.publish(CHANNEL, message),
    );
  }

  #subscribe(): void {
    const random = this.#random;
    if (this.#readers.length > 25) return;
    const kind = random.below(6);
    const from = kind < 3 ? random.of(this.#ids) : undefined;
    const foreign = kind === 3 && random.once(3);
    const history = kind > 3 ? random.below(random.once(3) ? 80 : 10) : 0;
    const listens = random.once(2);
    const told: Gap[] = [];
    let reader: Reader | undefined;
    const abort = new AbortController();
    const signal = random.once(8) ? abort.signal : undefined;
    const subscribed = this.#broadcast.subscribe(CHANNEL, {
      ...from && { after: from.id },
      ...foreign && { after: "0000000000000a~5" },
      ...history > 0 && { history },
      ...signal && { signal },
      ...listens && {
        onGap: (gap: Gap) => {
          if (!reader) return void told.push(gap);
          reader.told.push(gap);
          reader.tell(gap);
        },
      },
    });
    if (signal) microtasks(random.below(30)).then(() => abort.abort());
    const what = from ? "after" : history > 0 ? "history" : foreign ? "foreign" : "live";
    this.#call(
      "subscribe",
      subscribed.then((subscription) => {
        reader = new Reader({
          subscription,
          pace: random.of(["fast", "fast", "slow", "stalled"] as const)!,
          listens,
          start: from && { position: Position.parse(from.id.slice(15))!, epoch: from.epoch },
          log: this.#log,
          problems: this.#problems,
          ids: this.#ids,
          what,
          told,
        });
        for (const gap of told) reader.tell(gap);
        this.#follow(reader, signal);
      }),
    );
  }

  #follow(reader: Reader, signal: AbortSignal | undefined): void {
    this.#readers.push(reader);
    this.#read(reader, signal).then(() => {
      if (!reader.closed && !signal?.aborted) reader.finish();
    }, () => {}).finally(() => reader.ended = true);
  }

  /** Splits what it reads: another reader gets the same from here on, at a pace of its own. */
  #tee(reader: Reader, signal: AbortSignal | undefined): void {
    const [left, right] = reader.subscription.tee();
    reader.subscription = left;
    const twin = reader.twin(right);
    twin.pace = this.#random.of(["fast", "slow", "stalled"] as const)!;
    this.#follow(twin, signal);
  }

  async #read(reader: Reader, signal: AbortSignal | undefined): Promise<void> {
    const random = this.#random;
    // Of two that listen nobody could say which one is told.
    while (!reader.listens && random.once(2) && this.#readers.length < 40) {
      const stream = reader.subscription.getReader();
      let left = random.below(8);
      const reads: Promise<void>[] = [];
      for (; left > 0; left--) {
        await this.#wait(reader);
        const result = await stream.read();
        if (result.done) return;
        reader.receive(result.value);
      }
      // A read that nobody waits for any more may still take an event, which is not lost.
      if (random.once(2)) {
        reads.push(stream.read().then(({ value }) => value && reader.receive(value), () => {}));
        await microtasks(random.below(3));
      }
      stream.releaseLock();
      await Promise.all(reads);
      await microtasks(random.below(3));
      if (random.once(3)) await this.#clock.settle();
      this.#tee(reader, signal);
    }
    if (random.once(5)) {
      const stream = reader.subscription.getReader();
      for (;;) {
        await this.#wait(reader);
        const { done, value } = await stream.read();
        if (done) return;
        reader.receive(value);
      }
    }
    for await (const event of reader.subscription) {
      reader.receive(event);
      await this.#wait(reader);
    }
  }

  async #wait({ pace }: Reader): Promise<void> {
    if (this.#released || pace === "fast") return;
    const random = this.#random;
    if (random.once(3)) await microtasks(random.below(20));
    if (random.once(pace === "slow" ? 4 : 2)) {
      const milliseconds = random.below(pace === "slow" ? 10 : 300);
      await new Promise((resolve) => setTimeout(resolve, milliseconds));
    }
  }

  /** Follows a call to its end. */
  #call(what: string, promise: Promise<unknown>): void {
    const call = `${what} ${this.#messages}-${this.#calls.size}`;
    this.#calls.add(call);
    promise.catch((error: Error) => {
      if (!["ConnectionError", "OutcomeUnknownError", "AbortError"].includes(error.name)) {
        this.#problems.add(`${what} rejects with ${error.stack}`);
      }
    }).finally(() => this.#calls.delete(call));
  }
}
