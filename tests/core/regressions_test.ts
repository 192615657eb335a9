/** Where events, calls or tails could get lost unnoticed: on memory, and on a backend that misbehaves. */

import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { deadline } from "@std/async";
import type {
  Backend,
  BackendFeatures,
  OutgoingPayload,
  Payload,
  Tail,
} from "../../core/backend/contract.ts";
import { Epoch, Scope } from "../../core/backend/id.ts";
import { BacklogError, QueueTail } from "../../core/backend/kit/queue_tail.ts";
import { Tee } from "../../core/fanout/tee.ts";
import { eventStream } from "../../core/sse/mod.ts";
import {
  Broadcast,
  ClosedError,
  type Codec,
  type Gap,
  RefusedError,
  Subscription,
} from "../../mod.ts";
import { messages, take } from "../conformance/harness.ts";

/** What takes longer has hung. */
const PATIENCE = 60_000;
/** More microtasks than any call of the core takes that waits for nothing else. */
const SETTLED = 100;
/** The microtasks among which calls are made to meet. */
const OFFSETS = Array.from({ length: 21 }, (_, offset) => offset);

Deno.test("a branch that resumes meets a gap of long ago, however many came later", async () => {
  const tee = numbers();
  push(tee, 1, 2);
  tee.gap("disconnect");
  push(tee, 3);
  for (let gaps = 0; gaps < 64; gaps++) tee.gap("disconnect");
  push(tee, 4);
  const subscription = new Subscription("numbers", tee.branch({ after: 2 }));
  const [third, fourth] = await take(subscription, 2);
  assertEquals([third!.message, third!.gap!.cause], [3, "disconnect"]);
  assertEquals([fourth!.message, fourth!.gap!.cause], [4, "disconnect"]);
  subscription.close();
});

Deno.test("a branch that resumes after every gap meets none", async () => {
  const tee = numbers();
  for (let gaps = 0; gaps < 100; gaps++) {
    push(tee, gaps + 1);
    tee.gap("disconnect");
  }
  push(tee, 101, 102);
  const subscription = new Subscription("numbers", tee.branch({ after: 101 }));
  const [event] = await take(subscription, 1);
  assertEquals([event!.message, event!.gap], [102, undefined]);
  subscription.close();
});

Deno.test("a branch that lags meets a gap at each place that has one", async () => {
  const tee = numbers();
  const met: Gap[] = [];
  const subscription = new Subscription(
    "numbers",
    tee.branch({ onGap: (gap) => void met.push(gap) }),
  );
  const ids: string[] = [];
  for (let number = 1; number <= 200; number++) {
    ids.push(tee.epoch.id(number));
    push(tee, number);
    // More gaps at one place are one place.
    for (let gaps = 0; gaps < number % 4; gaps++) tee.gap("disconnect");
  }
  const events = await take(subscription, 200);
  const places = events.filter(({ gap }) => gap).map(({ message }) => message);
  const expected = events.map(({ message }) => message as number)
    .filter((number) => number > 1 && (number - 1) % 4 !== 0);
  assertEquals(places, expected);
  assertEquals(
    events.filter(({ gap }) => gap).map(({ gap }) => gap!.after),
    expected.map((number) => ids[number - 2]),
  );
  // The gap behind the last event is met by the next read.
  assertEquals(new Set(met.map(({ after }) => after)), new Set(expected.map((n) => ids[n - 2])));
  subscription.close();
});

Deno.test("what a resume missed is no exact number when a gap lies between", async () => {
  const backend = new Fake({ knows: false });
  await using broadcast = new Broadcast(backend, { buffer: 4 });
  const subscription = await broadcast.subscribe("c");
  await broadcast.publish("c", "1");
  const [first] = await take(subscription, 1);
  await overflow(1);
  for (let number = 2; number <= 10; number++) await broadcast.publish("c", `${number}`);
  await take(subscription, 9);
  await overflow(64);
  const resumed = await broadcast.subscribe("c", { after: first!.id });
  const [next] = await take(resumed, 1);
  assert(Number(next!.message) > 2);
  assertEquals(next!.gap, { cause: "disconnect", after: first!.id });

  /** The tail overflows, and opens again at once, so many times. */
  async function overflow(times: number): Promise<void> {
    for (let time = 0; time < times; time++) {
      const told = new Promise<void>((resolve) =>
        broadcast.addEventListener("gap", () => resolve(), { once: true })
      );
      backend.fail("c", new BacklogError("too much"));
      await deadline(told, PATIENCE);
    }
  }
});

Deno.test("what a resume missed is an exact number when no gap lies between", async () => {
  await using broadcast = new Broadcast("memory://?history=0", { buffer: 4 });
  const subscription = await broadcast.subscribe("c");
  await broadcast.publish("c", "1");
  const [first] = await take(subscription, 1);
  for (let number = 2; number <= 10; number++) await broadcast.publish("c", `${number}`);
  await take(subscription, 9);
  const resumed = await broadcast.subscribe("c", { after: first!.id });
  const [next] = await take(resumed, 1);
  const number = Number(next!.message);
  assert(number > 2);
  assertEquals(next!.gap, { cause: "disconnect", after: first!.id, missed: number - 2 });
});

Deno.test("a client that drops before its gap was told is told on its return", async () => {
  await using broadcast = new Broadcast("memory://?history=0", { linger: 0 });
  const old = await broadcast.subscribe("c");
  await broadcast.publish("c", "seen");
  const [seen] = await take(old, 1);
  old.close();
  await microtasks();
  await broadcast.publish("c", "lost");
  await using _ = await broadcast.subscribe("c");
  const reader = eventStream(await broadcast.subscribe("c", { after: seen!.id })).getReader();
  const opening = new TextDecoder().decode((await reader.read()).value);
  await reader.cancel();
  assertEquals(opening.includes("event: gap"), false);
  const id = /^id: (\S+)$/m.exec(opening)?.[1];
  assertEquals(id, undefined);
  const back = await broadcast.subscribe("c", { after: id ?? seen!.id });
  await broadcast.publish("c", "next");
  const [next] = await take(back, 1);
  assertEquals([next!.message, next!.gap?.cause], ["next", "disconnect"]);
});

Deno.test("return() under preventCancel ends every next(), and takes no event along", async () => {
  const tee = numbers();
  const subscription = new Subscription("numbers", tee.branch());
  const iterator = subscription.values({ preventCancel: true });
  const reads = [iterator.next(), iterator.next(), iterator.next()];
  await iterator.return!();
  const results = await deadline(Promise.all(reads), PATIENCE);
  assertEquals(results.map(({ done }) => done), [true, true, true]);
  push(tee, 1, 2, 3);
  assertEquals(await messages(subscription, 3), [1, 2, 3]);
  subscription.close();
});

Deno.test("return() ends a next() that waits after a reader's abandoned read", async () => {
  for (const offset of OFFSETS) {
    const tee = numbers();
    const subscription = new Subscription("numbers", tee.branch());
    const reader = subscription.getReader();
    reader.read().catch(() => {});
    await microtasks(offset);
    reader.releaseLock();
    const iterator = subscription.values({ preventCancel: true });
    const reads = [iterator.next(), iterator.next()];
    await microtasks(offset % 5);
    await iterator.return!();
    const results = await deadline(Promise.all(reads), PATIENCE);
    assertEquals(results.map(({ done }) => done), [true, true], `offset ${offset}`);
    push(tee, 1, 2);
    assertEquals(await messages(subscription, 2), [1, 2], `offset ${offset}`);
    subscription.close();
  }
});

Deno.test("calls of next() that overlap settle in order after an abandoned read", async () => {
  for (const offset of OFFSETS) {
    const tee = numbers();
    const subscription = new Subscription("numbers", tee.branch());
    const reader = subscription.getReader();
    reader.read().catch(() => {});
    await microtasks(1);
    reader.releaseLock();
    const iterator = subscription.values();
    const settled: (number | undefined)[] = [];
    const first = iterator.next().then(({ value }) => settled.push(value?.message));
    await microtasks(offset);
    const second = iterator.next().then(({ value }) => settled.push(value?.message));
    push(tee, 1, 2);
    await deadline(Promise.all([first, second]), PATIENCE);
    assertEquals(settled, [1, 2], `offset ${offset}`);
    subscription.close();
  }
});

Deno.test("who joins while the last subscriber leaves hears what is published", async () => {
  for (const offset of OFFSETS) {
    await using broadcast = new Broadcast("memory://", { linger: 0 });
    const last = await broadcast.subscribe("c");
    const joining = broadcast.subscribe("c");
    await microtasks(offset);
    last.close();
    const joined = await joining;
    await broadcast.publish("c", `${offset}`);
    assertEquals(await deadline(messages(joined, 1), PATIENCE), [`${offset}`]);
  }
});

Deno.test("an abort while the old tail closes leaves nothing open", async () => {
  const backend = new Fake();
  await using broadcast = new Broadcast(backend, { linger: 0 });
  const release = Promise.withResolvers<void>();
  backend.releasing = release.promise;
  (await broadcast.subscribe("c")).close();
  const abort = new AbortController();
  const pending = broadcast.subscribe("c", { signal: abort.signal });
  await microtasks();
  const reason = new Error("enough");
  abort.abort(reason);
  assertStrictEquals(await assertRejects(() => deadline(pending, PATIENCE)), reason);
  release.resolve();
  await microtasks();
  assertEquals([backend.opened, backend.open], [1, 0]);
});

for (const others of [1, 0]) {
  const among = others ? "among others" : "as the first one";
  Deno.test(`an abort during subscribe() ${among} is heeded at every moment`, async () => {
    const outcomes = new Set<string>();
    for (const offset of OFFSETS) {
      const backend = new Fake();
      await using broadcast = new Broadcast(backend, { linger: 0 });
      const other = others ? await broadcast.subscribe("c") : undefined;
      await broadcast.connect();
      const abort = new AbortController();
      const reason = new Error("enough");
      const pending = broadcast.subscribe("c", { signal: abort.signal });
      await microtasks(offset);
      abort.abort(reason);
      const outcome = await deadline(
        pending.then(
          async (subscription) => {
            const error = await assertRejects(() => subscription.getReader().read());
            assertStrictEquals(error, reason);
            return "ended";
          },
          (error) => {
            assertStrictEquals(error, reason);
            return "rejected";
          },
        ),
        PATIENCE,
      );
      outcomes.add(outcome);
      other?.close();
      await microtasks();
      assertEquals(backend.open, 0, `offset ${offset}`);
    }
    // The offsets reach from before the subscription to behind it.
    assertEquals(outcomes, new Set(["rejected", "ended"]));
  });
}

Deno.test("an event stream that errors lets go of the subscription", async () => {
  const backend = new Fake();
  await using broadcast = new Broadcast(backend, { linger: 0 });
  const poison = new Error("poison");
  const subscription = await broadcast.subscribe("c", {
    onGap: () => {
      throw poison;
    },
  });
  const signal = new AbortController().signal;
  const reader = eventStream(subscription, { signal }).getReader();
  await reader.read();
  const read = assertRejects(() => reader.read());
  await microtasks();
  backend.fail("c", new Error("lost"));
  assertStrictEquals(await read, poison);
  await microtasks();
  assertEquals([subscription.locked, backend.open], [false, 0]);
});

Deno.test("disconnect() in onGap ends the subscription, and all others", async () => {
  const backend = new Fake();
  const broadcast = new Broadcast(backend);
  let disconnected: Promise<void> | undefined;
  const subscription = await broadcast.subscribe("c", {
    onGap: () => {
      disconnected = broadcast.disconnect();
    },
  });
  const other = await broadcast.subscribe("c");
  const reads = Promise.all([subscription.values().next(), other.getReader().read()]);
  await microtasks();
  backend.fail("c", new Error("lost"));
  const [result, ofOther] = await deadline(reads, PATIENCE);
  assertEquals([result.done, ofOther.done], [true, true]);
  await deadline(disconnected!, PATIENCE);
});

Deno.test("a backend that throws at once rejects the publish, and disconnect() settles", async () => {
  const backend = new Fake();
  backend.publish = () => {
    throw new Error("at once");
  };
  const broadcast = new Broadcast(backend);
  const published = deadline(broadcast.publish("c", "x"), PATIENCE);
  const error = await assertRejects(() => published, RefusedError);
  assertEquals(error.message, 'Cannot publish to "c": at once');
  await deadline(broadcast.disconnect(), PATIENCE);
});

for (
  const [kind, make] of [
    ["the option Infinity", (backend: Backend) => new Broadcast(backend, { timeout: Infinity })],
    ["the option 2 ** 31", (backend: Backend) => new Broadcast(backend, { timeout: 2 ** 31 })],
  ] as const
) {
  Deno.test(`a timeout that no timer can count to waits: ${kind}`, async () => {
    const backend = new Fake();
    await using broadcast = make(backend);
    await broadcast.connect();
    const back = Promise.withResolvers<void>();
    backend.reachable = back.promise;
    backend.connected = false;
    const calls = Promise.allSettled([broadcast.publish("c", "x"), broadcast.subscribe("c")]);
    // A timer that had overrun would end before this: the pause before a new connection is longer.
    await backend.asked.promise;
    back.resolve();
    const outcomes = await deadline(calls, PATIENCE);
    assertEquals(outcomes.map(({ status }) => status), ["fulfilled", "fulfilled"]);
    assertEquals(backend.published, ["x"]);
  });
}

Deno.test("a tail that never opens again holds up other channels for a second at most", async () => {
  const backend = new Fake({ knows: false });
  await using broadcast = new Broadcast(backend, { timeout: 4_000 });
  await broadcast.subscribe("bad");
  const good = await broadcast.subscribe("good");
  const asked = backend.stuck("bad");
  backend.fail("bad", new Error("lost"));
  await deadline(asked, PATIENCE);
  await deadline(broadcast.publish("good", "x"), 2_000);
  assertEquals(await deadline(messages(good, 1), PATIENCE), ["x"]);
  // The next one does not wait a second more.
  await deadline(broadcast.publish("good", "y"), 500);
});

Deno.test("what waited for longer than a second is heard by the process's own subscription", async () => {
  const backend = new Fake({ knows: false });
  await using broadcast = new Broadcast(backend);
  const subscription = await broadcast.subscribe("c");
  backend.reachable = new Promise((resolve) => setTimeout(resolve, 1_500));
  backend.opening = new Promise((resolve) => setTimeout(resolve, 1_700));
  backend.fail("c", new Error("lost"));
  await deadline(backend.asked.promise, PATIENCE);
  const published = ["a", "b"].map((message) => broadcast.publish("c", message));
  await deadline(Promise.all(published), PATIENCE);
  const events = await deadline(take(subscription, 2), PATIENCE);
  assertEquals(events.map(({ message }) => message), ["a", "b"]);
  assertEquals(events[0]!.gap!.cause, "disconnect");
});

Deno.test("subscribe() while a tail opens again resolves once it is open", async () => {
  const { backend, broadcast, open, joining, settled } = await lost();
  await using _ = broadcast;
  await microtasks();
  assertEquals(settled(), false);
  open();
  const subscription = await deadline(joining, PATIENCE);
  await broadcast.publish("c", "x");
  const [event] = await deadline(take(subscription, 1), PATIENCE);
  assertEquals([event!.message, event!.gap], ["x", undefined]);
  assertEquals(backend.opened, 2);
});

Deno.test("subscribe() while a tail opens again learns that it is refused", async () => {
  const { backend, broadcast, open, joining } = await lost();
  await using _ = broadcast;
  backend.refusing = new RefusedError("no longer");
  open();
  const error = await assertRejects(() => deadline(joining, PATIENCE), RefusedError);
  assertEquals(error.message, 'Cannot subscribe to "c": no longer');
});

Deno.test("subscribe() while a tail opens again heeds its signal and disconnect()", async () => {
  const abort = new AbortController();
  const { broadcast, joining, open } = await lost(abort.signal);
  const other = broadcast.subscribe("c");
  const reason = new Error("enough");
  abort.abort(reason);
  assertStrictEquals(await assertRejects(() => deadline(joining, PATIENCE)), reason);
  const turnedAway = assertRejects(() => deadline(other, PATIENCE), ClosedError);
  await deadline(broadcast.disconnect(), PATIENCE);
  await turnedAway;
  open();
});

Deno.test("publishes that were turned away are not held until the broker is back", async () => {
  const backend = new Fake();
  const held: WeakRef<Uint8Array>[] = [];
  const codec: Codec<number> = {
    name: "sizes",
    encode: (size) => {
      const payload = new Uint8Array(size);
      held.push(new WeakRef(payload));
      return payload;
    },
    decode: ({ length }) => length,
  };
  await using broadcast = new Broadcast(backend, { timeout: 1, codec });
  await broadcast.connect();
  const back = Promise.withResolvers<void>();
  backend.reachable = back.promise;
  backend.connected = false;
  // An error holds on to where it was made: only what becomes of the payloads matters here.
  const names = await Promise.all(Array.from(
    { length: 100 },
    () => broadcast.publish("c", 1_000).catch(({ name }: Error) => name),
  ));
  assertEquals(new Set(names), new Set(["ConnectionError"]));
  assertEquals(held.length, 100);
  await collect();
  // The last one may still lie about somewhere.
  assert(held.filter((one) => one.deref() !== undefined).length < 10);
  back.resolve();
});

function numbers(): Tee<number> {
  return new Tee<number>(new Epoch(new Scope("test", "numbers")), { count: 1024, bytes: 1 << 20 });
}

function push(tee: Tee<number>, ...all: number[]): void {
  for (const number of all) tee.push({ channel: "numbers", message: number }, 8);
}

async function microtasks(count = SETTLED): Promise<void> {
  for (let index = 0; index < count; index++) await null;
}

/** A subscription whose tail was lost and is being opened again, and one that joins meanwhile. */
async function lost(signal?: AbortSignal) {
  const backend = new Fake();
  const broadcast = new Broadcast(backend, { linger: 0 });
  await broadcast.subscribe("c");
  const gate = Promise.withResolvers<void>();
  const asked = backend.askedAgain("c");
  backend.opening = gate.promise;
  backend.fail("c", new Error("lost"));
  await deadline(asked, PATIENCE);
  let settled = false;
  const joining = broadcast.subscribe("c", signal ? { signal } : {});
  joining.catch(() => {}).finally(() => settled = true);
  return { backend, broadcast, open: gate.resolve, joining, settled: () => settled };
}

/** Frees what nothing holds. */
async function collect(): Promise<void> {
  setFlagsFromString("--expose-gc");
  const gc: () => void = runInNewContext("gc");
  // A WeakRef that was made in this turn holds its object until the next.
  await new Promise((resolve) => setTimeout(resolve, 0));
  gc();
}

/** A backend of this process that can be away, be slow, refuse, and lose tails. */
class Fake implements Backend {
  readonly name = "fake";
  readonly address = "fake://";
  readonly features: BackendFeatures = { crossProcess: false, binary: true };
  connected?: boolean;
  /** Resolves once a connection was asked for while it was away. */
  readonly asked: PromiseWithResolvers<void> = Promise.withResolvers();
  /** What connecting waits for. */
  reachable: Promise<void> | undefined;
  /** What opening a tail waits for. */
  opening: Promise<void> | undefined;
  /** What letting go of a tail waits for. */
  releasing: Promise<void> | undefined;
  /** What opening a tail rejects with. */
  refusing: Error | undefined;
  /** How many tails were opened. */
  opened = 0;
  /** How many of them are open. */
  open = 0;
  readonly published: Payload[] = [];
  readonly #tails = new Map<string, QueueTail>();
  readonly #onTail = new Map<string, () => void>();
  #stuck: string | undefined;

  /** @param options `knows`: whether it tells if it is connected. */
  constructor({ knows = true }: { knows?: boolean } = {}) {
    if (knows) this.connected = true;
  }

  async connect(): Promise<void> {
    if (this.reachable) this.asked.resolve();
    await this.reachable;
    if (this.connected !== undefined) this.connected = true;
  }

  publish(messages: readonly OutgoingPayload[]): Promise<void> {
    for (const { channel, payload } of messages) {
      this.published.push(payload);
      this.#tails.get(channel)?.push({ kind: "record", payload });
    }
    return Promise.resolve();
  }

  async tail(channel: string): Promise<Tail> {
    this.#onTail.get(channel)?.();
    if (this.#stuck === channel) return new Promise(() => {});
    await this.opening;
    if (this.refusing) throw this.refusing;
    const source = new QueueTail(async () => {
      await this.releasing;
      this.#tails.delete(channel);
      this.open--;
    });
    this.#tails.set(channel, source);
    this.opened++;
    this.open++;
    return source;
  }

  /** Loses a tail. */
  fail(channel: string, reason: Error): void {
    const source = this.#tails.get(channel);
    assert(source);
    this.#tails.delete(channel);
    this.open--;
    source.error(reason);
  }

  /** Resolves once the tail of a channel is asked for again. */
  askedAgain(channel: string): Promise<void> {
    return new Promise((resolve) => this.#onTail.set(channel, resolve));
  }

  /** From now on the tail of a channel never opens; resolves once it is asked for. */
  stuck(channel: string): Promise<void> {
    this.#stuck = channel;
    return this.askedAgain(channel);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
