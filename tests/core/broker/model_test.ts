/**
 * Random lives against what must hold whatever happens. Every round has a seed of its own and, but
 * for the event loop's turns, a clock of its own: `MODEL_SEED=<seed>` runs one round again.
 */

import { assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import type {
  Backend,
  BackendFeatures,
  OutgoingPayload,
  Tail,
} from "../../../core/backend/contract.ts";
import type { BroadcastEvent, Gap } from "../../../core/backend/event.ts";
import { Epoch, Scope } from "../../../core/backend/id.ts";
import { TemporaryError, UnknownReplyError } from "../../../core/backend/errors.ts";
import { QueueTail } from "../../../core/backend/kit/queue_tail.ts";
import { Tee } from "../../../core/fanout/tee.ts";
import { Broadcast, ConnectionError, RefusedError, Subscription } from "../../../mod.ts";
import { Random } from "../../conformance/random.ts";
import { Clock, microtasks, turn } from "../log/clock.ts";

const CHANNELS = ["a", "b", "c"];
/** What a call may reject with. */
const KNOWN = ["ClosedError", "ConnectionError", "RefusedError", "AbortError"];

fuzz("a broadcast on a broker that fails at every turn", 400, async (random, problems) => {
  const clock = new Clock(random);
  try {
    await new Life(random, clock, problems).run();
  } finally {
    clock.restore();
  }
});

fuzz("a subscription read in every way gives each event once, in order", 1_500, readings);

fuzz("a branch meets a gap at each place that has one", 600, places);

/** Registers rounds; the problems of one that has any are told with its seed. */
function fuzz(
  name: string,
  rounds: number,
  round: (random: Random, problems: Set<string>) => Promise<void>,
): void {
  Deno.test(`model: ${name}`, async () => {
    const given = Deno.env.get("MODEL_SEED");
    const from = Number(Deno.env.get("MODEL_FROM") ?? 1);
    const count = Number(Deno.env.get("MODEL_SEEDS") ?? rounds);
    const seeds = given
      ? [Number(given)]
      : Array.from({ length: count }, (_, index) => from + index);
    for (const seed of seeds) {
      const problems = new Set<string>();
      await round(new Random(seed), problems);
      assertEquals([...problems], [], `MODEL_SEED=${seed}`);
    }
  });
}

/** A broker that is slow, refuses, and loses what it can, and that knows what it may be asked. */
class Broker implements Backend {
  readonly name = "broker";
  readonly address = "broker://";
  readonly features: BackendFeatures = { crossProcess: false, binary: true };
  /** What was published to each channel, in the broker's order. */
  readonly log = new Map(CHANNELS.map((channel) => [channel, [] as string[]]));
  /** From now on nothing fails. */
  calm = false;
  readonly #random: Random;
  readonly #problems: Set<string>;
  readonly #knows: boolean;
  readonly #tails = new Map<string, QueueTail>();
  /** What is under way, or open, for a channel. */
  readonly #busy = new Map<string, "opening" | "open" | "closing">();
  #up = false;
  #closed = false;

  constructor(random: Random, problems: Set<string>) {
    this.#random = random;
    this.#problems = problems;
    this.#knows = random.once(2);
  }

  get connected(): boolean {
    return this.#knows ? this.#up : undefined as unknown as boolean;
  }

  /** How many tails are open, or about to be. */
  get open(): number {
    return this.#busy.size;
  }

  async connect(): Promise<void> {
    this.#asked("connect");
    await this.#pause();
    if (this.#fails(3)) throw new Error("no");
    this.#up = true;
  }

  publish(messages: readonly OutgoingPayload[]): readonly Promise<undefined>[] {
    this.#asked("publish");
    // A broker that stores nothing for now often has a reason that concerns one message alone.
    const refusal = this.#random.once(4) ? 2 : 30;
    return messages.map(({ channel, payload }) => {
      if (!this.#up) return Promise.reject(new ConnectionError("down"));
      if (this.#fails(refusal)) return this.#answer(this.#refusal());
      const log = this.log.get(channel)!;
      if (Number(payload) < Number(log.at(-1) ?? -1)) this.#problems.add("one overtook another");
      log.push(String(payload));
      this.#tails.get(channel)?.push({ kind: "record", payload });
      return this.#answer();
    });
  }

  #refusal(): Error {
    const kind = this.#random.below(4);
    if (kind > 1) return new TemporaryError("out of memory");
    if (kind === 1) return new Error("refused");
    const reply = new UnknownReplyError(`reply ${this.#random.below(2)}`);
    this.lose();
    return reply;
  }

  async #answer(refusal?: Error): Promise<undefined> {
    await this.#pause();
    if (refusal) throw refusal;
    if (this.#fails(20)) {
      this.lose();
      throw new ConnectionError("lost");
    }
  }

  async tail(channel: string): Promise<Tail> {
    this.#asked("tail");
    if (this.#busy.has(channel)) this.#problems.add(`tail while ${this.#busy.get(channel)}`);
    this.#busy.set(channel, "opening");
    await this.#pause();
    if (!this.#up || this.#fails(8)) {
      this.#busy.delete(channel);
      throw this.calm || !this.#random.once(6) ? this.#unready() : new RefusedError("no");
    }
    this.#busy.set(channel, "open");
    const source: QueueTail = new QueueTail(async () => {
      // It may be lost and cancelled in one turn.
      if (this.#tails.get(channel) !== source) return;
      const now = this.#busy.get(channel);
      if (now !== "open") this.#problems.add(`cancel while ${now}`);
      this.#busy.set(channel, "closing");
      this.#tails.delete(channel);
      await this.#pause();
      this.#busy.delete(channel);
      if (this.#fails(10)) throw new Error("cannot cancel");
    });
    this.#tails.set(channel, source);
    await this.#pause();
    if (this.#up) return source;
    if (this.#tails.delete(channel)) this.#busy.delete(channel);
    throw new ConnectionError("down");
  }

  #unready(): Error {
    return this.#random.once(2) ? new ConnectionError("no") : new TemporaryError("starting");
  }

  /** Loses the tail of a channel. */
  fail(channel: string): void {
    const source = this.#tails.get(channel);
    if (!source) return;
    this.#tails.delete(channel);
    this.#busy.delete(channel);
    source.error(this.#random.once(12) ? new RefusedError("final") : new ConnectionError("lost"));
  }

  /** Loses the connection. */
  lose(): void {
    this.#up = false;
    for (const channel of [...this.#tails.keys()]) this.fail(channel);
  }

  async probe(): Promise<void> {
    this.#asked("probe");
    await this.#pause();
    if (!this.#fails(10)) return;
    this.lose();
    throw new Error("no sign of life");
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#up = false;
    for (const source of this.#tails.values()) source.error(new ConnectionError("closed"));
    await this.#pause();
  }

  #asked(what: string): void {
    if (this.#closed) this.#problems.add(`${what} after close`);
  }

  #fails(times: number): boolean {
    return !this.calm && this.#random.once(times);
  }

  async #pause(): Promise<void> {
    const kind = this.#random.below(5);
    if (kind === 1) await microtasks(3);
    else if (kind > 1) {
      const milliseconds = this.#random.below(4);
      await new Promise((resolve) => setTimeout(resolve, milliseconds));
    }
  }
}

/** A subscription, and what it has been given. */
interface Reading {
  readonly channel: string;
  readonly subscription: Subscription;
  /** How many of the channel's messages lie before what it gets next, as far as is known. */
  place: number;
  /** Whether the place is one that a gap counts from. */
  exact: boolean;
  last: string | undefined;
  ended: boolean;
  /** Whether somebody reads it to its end. */
  readonly attentive: boolean;
}

/** An id that was read, and how many of its channel's messages lie up to it. */
interface Place {
  readonly channel: string;
  readonly id: string;
  readonly place: number;
}

/** One broadcast on one broker, from its first call to its last. */
class Life {
  readonly #random: Random;
  readonly #clock: Clock;
  readonly #problems: Set<string>;
  readonly #broker: Broker;
  readonly #broadcast: Broadcast;
  readonly #readings: Reading[] = [];
  /** Ids that were read, and where they lie. */
  readonly #ids: Place[] = [];
  readonly #calls = new Set<string>();
  /** Serves many calls. */
  readonly #abort = new AbortController();
  #listeners = 0;
  #messages = 0;
  #disconnecting = false;

  constructor(random: Random, clock: Clock, problems: Set<string>) {
    this.#random = random;
    this.#clock = clock;
    this.#problems = problems;
    this.#broker = new Broker(random, problems);
    this.#broadcast = new Broadcast(this.#broker, {
      linger: random.once(3) ? 3 : 0,
      timeout: 300,
      probe: random.once(2) ? 20 : 0,
      buffer: 8,
    });
    this.#count(this.#abort.signal);
  }

  async run(): Promise<void> {
    for (let step = 0; step < 40; step++) await this.#step();
    if (this.#random.once(2)) await this.#calmDown();
    this.#disconnecting = true;
    this.#call("disconnect", this.#broadcast.disconnect());
    await this.#clock.pass(3_000);
    await this.#clock.settle(100);
    for (const call of this.#calls) this.#problems.add(`${call} never settles`);
    for (const reading of this.#readings) {
      if (!reading.ended) this.#problems.add("a subscription never ends");
    }
    if (this.#listeners !== 0) this.#problems.add(`${this.#listeners} listeners are left`);
  }

  async #step(): Promise<void> {
    const random = this.#random;
    const channel = random.of(CHANNELS)!;
    const what = random.below(12);
    if (what < 4) this.#subscribe(channel);
    else if (what < 7) this.#publish(channel);
    else if (what < 9) random.of(this.#readings)?.subscription.close();
    else if (what === 9) this.#broker.fail(channel);
    else if (what === 10) this.#broker.lose();
    else {
      // In the middle of a turn.
      const loss = random.below(40);
      for (let index = random.below(20); index > 0; index--) {
        this.#publish(channel);
        if (index === loss) this.#broker.lose();
      }
    }
    const wait = random.below(4);
    if (wait === 1) await microtasks(random.below(10));
    else if (wait === 2) await this.#clock.settle();
    else if (wait === 3) await this.#clock.pass(random.below(5));
  }

  /** Once the broker is well, everybody hears what is published, and what is left is let go. */
  async #calmDown(): Promise<void> {
    this.#broker.calm = true;
    await this.#clock.pass(15_000);
    const last = new Map<string, string>();
    for (const channel of CHANNELS) last.set(channel, this.#publish(channel));
    await this.#clock.pass(1_000);
    // Many events pass a small buffer in many turns.
    await this.#clock.settle(100);
    for (const reading of this.#readings) {
      if (!reading.attentive || reading.ended) continue;
      if (reading.last !== last.get(reading.channel)) this.#problems.add("a subscription is deaf");
    }
    for (const { subscription } of this.#readings) subscription.close();
    await this.#clock.pass(1_000);
    if (this.#broker.open > 0) this.#problems.add("a tail is open, and nobody is subscribed");
  }

  #publish(channel: string): string {
    const message = `${this.#messages++}`;
    this.#call("publish", this.#broadcast.publish(channel, message));
    return message;
  }

  #subscribe(channel: string): void {
    const random = this.#random;
    const abort = new AbortController();
    const signal = random.of([abort.signal, this.#abort.signal, undefined]);
    const from = random.once(2) ? random.of(this.#ids) : undefined;
    const subscribed = this.#broadcast.subscribe(channel, {
      ...signal && { signal },
      ...from && { after: from.id },
      ...random.once(4) && { onGap: this.#onGap(channel) },
    });
    this.#call(
      "subscribe",
      subscribed.then((subscription) => this.#read(subscription, channel, from)),
    );
    if (signal === abort.signal && random.once(2)) {
      const delay = random.below(10);
      microtasks(delay).then(() => abort.abort());
    }
  }

  #onGap(channel: string): "error" | (() => void) {
    const random = this.#random;
    if (random.once(2)) return "error";
    return () => {
      if (random.once(4)) random.of(this.#readings)?.subscription.close();
      if (random.once(6)) this.#publish(channel);
      if (random.once(10)) throw new Error("the user's");
    };
  }

  #read(subscription: Subscription, channel: string, from: Place | undefined): void {
    const random = this.#random;
    const resumed = from?.channel === channel;
    const reading: Reading = {
      channel,
      subscription,
      place: resumed ? from.place : this.#broker.log.get(channel)!.length,
      exact: resumed,
      last: undefined,
      ended: false,
      attentive: !random.once(4),
    };
    this.#readings.push(reading);
    const read = random.once(5) ? this.#byReader(reading) : this.#byLoop(reading);
    read.catch(() => {}).finally(() => reading.ended = true);
  }

  async #byLoop(reading: Reading): Promise<void> {
    for await (const event of reading.subscription) {
      this.#check(reading, event);
      if (!reading.attentive && this.#random.once(10)) break;
      if (this.#random.once(10)) await microtasks(this.#random.below(40));
    }
  }

  async #byReader(reading: Reading): Promise<void> {
    const reader = reading.subscription.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      this.#check(reading, value);
    }
  }

  /** An event comes once, in order, and what lies between it and the one before is a gap. */
  #check(reading: Reading, event: BroadcastEvent): void {
    const place = this.#broker.log.get(reading.channel)!.indexOf(event.message);
    const skipped = place - reading.place;
    if (place === -1) this.#problems.add("an event of another channel");
    else if (reading.exact && skipped < 0) this.#problems.add("an event comes twice, or late");
    else if (skipped > 0 && !event.gap) this.#problems.add("an event is missing without a gap");
    if (reading.exact) this.#checkGap(event.gap, skipped);
    reading.place = place + 1;
    reading.exact = true;
    reading.last = event.message;
    this.#ids.push({ channel: reading.channel, id: event.id, place: place + 1 });
  }

  #checkGap(gap: Gap | undefined, skipped: number): void {
    if (gap?.missed !== undefined && gap.missed !== skipped) {
      this.#problems.add(`a gap of ${gap.missed} events is one of ${skipped}`);
    }
  }

  /** Follows a call to its end. */
  #call(what: string, promise: Promise<unknown>): void {
    const call = `${what} ${this.#calls.size}-${this.#messages}`;
    this.#calls.add(call);
    promise.catch((error: Error) => {
      if (!KNOWN.includes(error.name) && error.name !== "OutcomeUnknownError") {
        this.#problems.add(`${what} rejects with ${error.name}: ${error.message}`);
      }
      if (error.name === "ClosedError" && !this.#disconnecting) {
        this.#problems.add(`${what} rejects with ClosedError before disconnect()`);
      }
    }).finally(() => this.#calls.delete(call));
  }

  /** Counts who listens to a signal. */
  #count(signal: AbortSignal): void {
    const { addEventListener, removeEventListener } = signal;
    signal.addEventListener = (...args: Parameters<typeof addEventListener>) => {
      this.#listeners++;
      addEventListener.apply(signal, args);
    };
    signal.removeEventListener = (...args: Parameters<typeof removeEventListener>) => {
      this.#listeners--;
      removeEventListener.apply(signal, args);
    };
  }
}

/** Readers, iterators and pipes take turns on one subscription, and leave at any moment. */
async function readings(random: Random, problems: Set<string>): Promise<void> {
  const tee = new Tee<number>(new Epoch(new Scope("test", "numbers")), {
    count: 1024,
    bytes: 1 << 20,
  });
  let subscription = new Subscription<number>("numbers", tee.branch());
  let got: number[] = [];
  /** What was read by each time that it was teed, and the branch that is not read until the end. */
  const teed: { readonly got: number[]; readonly other: Subscription<number> }[] = [];
  const pending: Promise<unknown>[] = [];
  let pushed = 0;
  const push = (count: number) => {
    for (; count > 0; count--) tee.push({ channel: "numbers", message: ++pushed }, 1);
  };
  const follow = (read: Promise<IteratorResult<BroadcastEvent<number>, undefined>>) => {
    const own = got;
    pending.push(read.then(({ value }) => value && own.push(value.message), () => {}));
  };
  const pause = async () => {
    await microtasks(random.below(4));
    if (random.once(6)) await turn();
  };
  for (let step = 0; step < 8; step++) {
    push(random.below(3));
    const way = random.below(5);
    if (way === 4) {
      const [left, right] = subscription.tee();
      teed.push({ got, other: right });
      subscription = left;
      got = [];
    } else if (way === 0) {
      const reader = subscription.getReader();
      for (let reads = random.below(4); reads > 0; reads--) {
        follow(reader.read() as Promise<IteratorResult<BroadcastEvent<number>, undefined>>);
        if (random.once(2)) await pause();
        push(random.below(2));
      }
      if (random.once(2)) await pause();
      reader.releaseLock();
    } else if (way === 1) {
      const iterator = subscription.values({ preventCancel: true });
      for (let reads = random.below(4); reads > 0; reads--) {
        follow(iterator.next());
        if (random.once(2)) await pause();
        push(random.below(2));
      }
      if (random.once(2)) await pause();
      await iterator.return!();
    } else if (way === 2) {
      const count = got.length + teed.reduce((count, { got }) => count + got.length, 0);
      let wanted = Math.min(random.below(3), pushed - count);
      if (wanted > 0) {
        for await (const { message } of subscription.values({ preventCancel: true })) {
          got.push(message);
          if (--wanted <= 0) break;
        }
      }
    } else {
      const abort = new AbortController();
      const own = got;
      const sink = new WritableStream<BroadcastEvent<number>>({
        write: ({ message }) => void own.push(message),
      });
      const piped = subscription.pipeTo(sink, { preventCancel: true, signal: abort.signal });
      await pause();
      push(random.below(2));
      await pause();
      abort.abort();
      await piped.catch(() => {});
    }
    await pause();
  }
  push(1);
  const rest = (async () => {
    for await (const { message } of subscription) {
      got.push(message);
      if (message === pushed) break;
    }
    await Promise.all(pending);
  })();
  await deadline(rest, 1_000).catch(() => problems.add("a read never settles"));
  tee.end();
  const expected = Array.from({ length: pushed }, (_, index) => index + 1);
  const before: number[] = [];
  for (const { got: own, other } of [...teed, { got, other: undefined }]) {
    before.push(...own);
    const all = [...before];
    if (other) { for await (const { message } of other) all.push(message); }
    if (all.join() !== expected.join()) problems.add(`${all.join()} of ${pushed} events`);
  }
}

/** Branches come, resume and lag while events and gaps are written. */
async function places(random: Random, problems: Set<string>): Promise<void> {
  const count = 2 + random.below(300);
  const tee = new Tee<number>(new Epoch(new Scope("test", "numbers")), { count, bytes: 1 << 20 });
  /** Of the events that have a gap before them: their number, and the step of the last gap. */
  const gaps = new Map<number, number>();
  const branches: { next: number; born: number; branch: ReturnType<typeof tee.branch> }[] = [];
  for (let step = 0; step < 900; step++) {
    const what = random.below(6);
    const { head, oldest } = tee.ring;
    if (what < 3) tee.push({ channel: "numbers", message: head }, 1);
    else if (what === 3) {
      tee.gap("disconnect");
      gaps.set(head, step);
    } else if (what === 4 && branches.length < 8) {
      const after = random.once(2) ? undefined : oldest - 1 + random.below(head - oldest + 1);
      // Who starts at the live end does not meet a gap that was there before.
      branches.push(
        after === undefined
          ? { next: head, born: step, branch: tee.branch() }
          : { next: after + 1, born: 0, branch: tee.branch({ after }) },
      );
    } else {
      const one = random.of(branches);
      if (one && random.once(20) && branches.length < 12) {
        branches.push({ ...one, branch: one.branch.fork() });
      }
      for (let reads = random.below(20); one && reads > 0 && one.next < tee.ring.head; reads--) {
        const cell = one.branch.take();
        if (!cell) {
          problems.add("a branch does not give what there is");
          break;
        }
        const { message, gap } = cell.value;
        let expected = message !== one.next;
        for (let place = one.next; place <= message; place++) {
          if ((gaps.get(place) ?? -1) >= one.born) expected = true;
        }
        if (expected !== (gap !== undefined)) {
          problems.add(`a gap is ${expected ? "lost" : "made up"}`);
        }
        if (gap?.missed !== undefined && gap.missed !== message - one.next) {
          problems.add(`a gap of ${gap.missed} events is one of ${message - one.next}`);
        }
        one.next = message + 1;
        one.born = 0;
      }
    }
  }
  await Promise.resolve();
}
