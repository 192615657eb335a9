/** What has headers or a key, as the core has it: what brokers make of it the suite and the faults tell. */

import { assert, assertEquals, assertInstanceOf, assertRejects, assertThrows } from "@std/assert";
import { MemoryBackend } from "../../../backends/memory/log.ts";
import type { OutgoingPayload } from "../../../core/backend/contract.ts";
import { Position } from "../../../core/backend/position.ts";
import { turn } from "../../../core/util/timer.ts";
import {
  Broadcast,
  ConnectionError,
  OutcomeUnknownError,
  type PublishOptions,
  RefusedError,
} from "../../../mod.ts";
import { assertExpires } from "../../backends/expiry.ts";
import { take } from "../../conformance/harness.ts";

const CHANNEL = "orders";

Deno.test("headers and keys that no broker carries are refused, and their values never shown", async () => {
  await using broadcast = new Broadcast("memory://");
  const refused: [PublishOptions, string][] = [
    [
      { headers: "a" as never },
      "headers must be an object of strings by their names, it is a string",
    ],
    [{ headers: null as never }, "headers must be an object of strings by their names, it is null"],
    [
      { headers: new Headers() as never },
      "headers must be an object of strings by their names, it is a Headers",
    ],
    [
      { headers: Promise.resolve({ a: "b" }) as never },
      "headers must be an object of strings by their names, it is a Promise",
    ],
    [
      { headers: Object.create({ a: "b" }) },
      "headers must be an object of strings by their names, it is an Object",
    ],
    [
      { headers: { "a b": "secret" } },
      'header name "a b" must be of letters, digits and any of !#$%&\'*+-.^_`|~',
    ],
    [
      { headers: { "": "secret" } },
      'header name "" must be of letters, digits and any of !#$%&\'*+-.^_`|~',
    ],
    [{ headers: { "Broadcaster-Mark": "secret" } }, 'header name "Broadcaster-Mark" is reserved'],
    [{ headers: { a: 1 as never } }, 'header "a" must be a string, it is a number'],
    [{ headers: { a: "secret\r\nb: c" } }, 'header "a" has a control character'],
    [{ headers: { a: "secret\u0085" } }, 'header "a" has a control character'],
    [{ headers: { a: " secret" } }, 'header "a" has leading or trailing spaces'],
    [{ headers: { a: "\ud800" } }, 'header "a" has a lone surrogate'],
    [{ idempotencyKey: "" }, "idempotencyKey is empty"],
    [{ idempotencyKey: 7 as never }, "idempotencyKey must be a string, it is a number"],
    [{ idempotencyKey: "\udc00" }, "idempotencyKey has a lone surrogate"],
    [{ idempotencyKey: "a\0b" }, "idempotencyKey has a NUL"],
    [{ idempotencyTtl: 5 }, "idempotencyTtl needs an idempotencyKey"],
  ];
  for (const [options, reason] of refused) {
    const error = await assertRejects(() => broadcast.publish(CHANNEL, "m", options), TypeError);
    assertEquals(error.message, `Cannot publish to "orders": ${reason}`);
  }
  const out: [PublishOptions, string][] = [
    [
      { headers: { a: "x".repeat(8_160) } },
      "the headers have 8193 bytes, with 32 more for each, the limit is 8192",
    ],
    [{ idempotencyKey: "é".repeat(129) }, "idempotencyKey has 258 bytes, the limit is 256"],
    ...([[0, "0"], [NaN, "NaN"], [2 ** 53, "9007199254740992"], ["5m", "a string"]] as const).map(
      ([ttl, shown]): [PublishOptions, string] => [
        { idempotencyKey: "k", idempotencyTtl: ttl as number },
        `idempotencyTtl must be a number of milliseconds above 0 and below 2^53, it is ${shown}`,
      ],
    ),
  ];
  for (const [options, reason] of out) {
    const error = await assertRejects(() => broadcast.publish(CHANNEL, "m", options), RangeError);
    assertEquals(error.message, `Cannot publish to "orders": ${reason}`);
  }
  await broadcast.publish(CHANNEL, "m", { headers: { a: "x".repeat(8_159) } });
  assertEquals((await broadcast.history(CHANNEL)).length, 1);
});

Deno.test("what the caller changes later changes no event", async () => {
  await using broadcast = new Broadcast("memory://");
  const headers = { a: "before" };
  const published = broadcast.publish(CHANNEL, "m", { headers });
  headers.a = "after";
  await published;
  assertEquals((await broadcast.history(CHANNEL))[0]!.headers, { a: "before" });
});

Deno.test("what a subscriber does to its headers no other one sees", async () => {
  await using broadcast = new Broadcast("memory://");
  const subscription = await broadcast.subscribe(CHANNEL);
  await broadcast.publish(CHANNEL, "m", { headers: { a: "true" } });
  const [event] = await take(subscription, 1);
  assertThrows(() => (event!.headers as Record<string, string>).a = "false", TypeError);
  assertEquals((await broadcast.history(CHANNEL))[0]!.headers, { a: "true" });
});

Deno.test("without a log no keys are known, and the error says why", async () => {
  await using broadcast = new Broadcast("memory://?history=0");
  const { message } = await assertRejects(
    () => broadcast.publish(CHANNEL, "m", { idempotencyKey: "k" }),
    TypeError,
  );
  assertEquals(
    message,
    'Cannot publish to "orders" with an idempotency key: memory stores none with history=0',
  );
});

Deno.test("headers count for what a channel holds", async () => {
  await using broadcast = new Broadcast("memory://?history=0");
  const slow = await broadcast.subscribe(CHANNEL);
  const reading = take(await broadcast.subscribe(CHANNEL), 600);
  const headers = { a: "x".repeat(8_000) };
  for (let number = 0; number < 600; number++) await broadcast.publish(CHANNEL, "m", { headers });
  await reading;
  // 4 MiB, of two bytes a character: what came before is not held any more.
  const [event] = await take(slow, 1);
  assertEquals(event!.gap?.cause, "overflow");
  const held = 600 - event!.gap!.missed!;
  assert(held > 240 && held < 270, `${held} are held`);
});

Deno.test("a key that has expired is new", async () => {
  await using broadcast = new Broadcast("memory://");
  await assertExpires(broadcast, CHANNEL);
});

Deno.test("what has a key and was stored, but never answered, is sent again and stored once", async () => {
  const backend = new Forgetful();
  await using broadcast = new Broadcast(backend);
  const unanswered = assertRejects(
    () => broadcast.publish(CHANNEL, "1"),
    OutcomeUnknownError,
  );
  const ids = await Promise.all([
    broadcast.publish(CHANNEL, "2", { idempotencyKey: "two" }),
    broadcast.publish(CHANNEL, "3", { idempotencyKey: "three" }),
  ]);
  await unanswered;
  const past = await broadcast.history(CHANNEL);
  assertEquals(past.map(({ message }) => message), ["1", "2", "3"]);
  assertEquals<unknown>(ids, past.slice(1).map(({ id }) => id));
  assertEquals(backend.calls, [["1", "2", "3"], ["2", "3"]]);
});

Deno.test("what has a key keeps its order when it is sent again", async () => {
  const backend = new Forgetful(["1"]);
  await using broadcast = new Broadcast(backend);
  const first = broadcast.publish(CHANNEL, "1", { idempotencyKey: "one" });
  await backend.called;
  const second = broadcast.publish(CHANNEL, "2", { idempotencyKey: "two" });
  await Promise.all([first, second]);
  const past = await broadcast.history(CHANNEL);
  assertEquals(past.map(({ message }) => message), ["1", "2"]);
});

Deno.test("what has a key and is never answered is of unknown outcome in the end", async () => {
  const backend = new Forgetful();
  backend.forgets = Infinity;
  await using broadcast = new Broadcast(backend, { timeout: 300 });
  const error = await assertRejects(
    () => broadcast.publish(CHANNEL, "1", { idempotencyKey: "one" }),
    OutcomeUnknownError,
  );
  assertEquals(
    error.message,
    'Cannot confirm message to "orders": memory:// did not answer for 0.3 s, it may or may not be published',
  );
  assertEquals(error instanceof ConnectionError, false);
  assertInstanceOf(error.cause, ConnectionError);
  assert(backend.calls.length > 1);
});

Deno.test("what has a key is sent again only while the key is known", async () => {
  const backend = new Forgetful();
  backend.forgets = Infinity;
  await using broadcast = new Broadcast(backend, { timeout: 60_000 });
  const started = Date.now();
  await assertRejects(
    () => broadcast.publish(CHANNEL, "1", { idempotencyKey: "one", idempotencyTtl: 200 }),
    OutcomeUnknownError,
  );
  assert(Date.now() - started < 30_000);
});

for (
  const [limit, options, window] of [
    ["its own", { idempotencyKey: "one", idempotencyTtl: 1 }, undefined],
    ["the broker's", { idempotencyKey: "one" }, 1],
  ] as const
) {
  Deno.test(`what has a key is not sent again when ${limit} time is half over`, async () => {
    const backend = new Manual();
    backend.window = window;
    await using broadcast = new Broadcast(backend);
    await broadcast.connect();
    const published = broadcast.publish(CHANNEL, "1", options);
    const sent = await backend.next();
    await pass(1);
    sent.lose();
    await assertRejects(() => published, OutcomeUnknownError, "was lost before it answered");
    assertEquals(backend.calls, ["1"]);
  });
}

Deno.test("what was never sent waits for the connection, however soon its key expires", async () => {
  const backend = new Manual();
  await using broadcast = new Broadcast(backend);
  await broadcast.connect();
  const reconnecting = backend.hold();
  const lost = assertRejects(() => broadcast.publish(CHANNEL, "1"), OutcomeUnknownError);
  (await backend.next()).lose();
  await lost;
  const published = broadcast.publish(CHANNEL, "2", { idempotencyKey: "two", idempotencyTtl: 1 });
  await pass(2);
  reconnecting();
  (await backend.next()).accept();
  await published;
  assertEquals(backend.calls, ["1", "2"]);
});

Deno.test("what is refused when it is sent again may have been published before", async () => {
  const backend = new Manual();
  await using broadcast = new Broadcast(backend);
  const published = broadcast.publish(CHANNEL, "1", { idempotencyKey: "one" });
  (await backend.next()).lose();
  (await backend.next()).refuse(new RefusedError("READONLY You can't write"));
  const error = await assertRejects(() => published, OutcomeUnknownError);
  assertEquals(
    error.message,
    'Cannot confirm message to "orders": it was not answered, and sending it again has failed, READONLY You can\'t write, it may or may not be published',
  );
});

Deno.test("what is lost in whatever order is sent again in that in which it was given", async () => {
  const backend = new Manual();
  await using broadcast = new Broadcast(backend);
  await broadcast.connect();
  const published: Promise<unknown>[] = [];
  const sent: Sent[] = [];
  for (const message of ["1", "2", "3"]) {
    published.push(broadcast.publish(CHANNEL, message, { idempotencyKey: message }));
    sent.push(await backend.next());
  }
  const reconnecting = backend.hold();
  for (const one of sent.reverse()) one.lose();
  published.push(broadcast.publish(CHANNEL, "4"));
  reconnecting();
  for (const _ of published) (await backend.next()).accept();
  await Promise.all(published);
  assertEquals(backend.calls, ["1", "2", "3", "1", "2", "3", "4"]);
});

Deno.test("what others have overtaken is not sent again: its place is lost", async () => {
  const backend = new Manual();
  await using broadcast = new Broadcast(backend);
  const elsewhere = broadcast.publish("other", "0", { idempotencyKey: "zero" });
  const other = await backend.next();
  const first = broadcast.publish(CHANNEL, "1", { idempotencyKey: "one" });
  const lost = await backend.next();
  const second = broadcast.publish(CHANNEL, "2", { idempotencyKey: "two" });
  (await backend.next()).accept();
  await second;
  lost.lose();
  await assertRejects(() => first, OutcomeUnknownError, "was lost before it answered");
  other.lose();
  (await backend.next()).accept();
  await elsewhere;
  // So it is if that is known only while it waits for the connection.
  const third = broadcast.publish(CHANNEL, "3", { idempotencyKey: "three" });
  const waits = await backend.next();
  const fourth = broadcast.publish(CHANNEL, "4", { idempotencyKey: "four" });
  const overtakes = await backend.next();
  waits.lose();
  overtakes.accept();
  await fourth;
  await assertRejects(() => third, OutcomeUnknownError, "was lost before it answered");
  assertEquals(backend.calls, ["0", "1", "2", "0", "3", "4"]);
});

Deno.test("what is sent again takes a time that grows with its number, not with the square", async () => {
  // The better of two: what else the machine does is in the others.
  const few = await least(() => timeToResend(2_000));
  const many = await least(() => timeToResend(8_000));
  assert(many / few < 10, `${few} and ${many} ms`);
});

async function least(measure: () => Promise<number>): Promise<number> {
  return Math.min(await measure(), await measure());
}

/** Loses so many keyed messages at once, and returns how long it takes until all are stored, in milliseconds. */
async function timeToResend(count: number): Promise<number> {
  const backend = new Manual();
  await using broadcast = new Broadcast(backend);
  await broadcast.connect();
  const burst = Array.from(
    { length: count },
    (_, n) => broadcast.publish(CHANNEL, `${n}`, { idempotencyKey: `${n}` }),
  );
  const lost: Sent[] = [];
  while (lost.length < count) lost.push(await backend.next());
  const start = performance.now();
  for (const one of lost) one.lose();
  while (backend.calls.length < count * 2) (await backend.next()).accept();
  const time = performance.now() - start;
  for (let left = count - 1; left > 0; left--) (await backend.next()).accept();
  await Promise.all(burst);
  assertEquals(backend.calls.slice(count), backend.calls.slice(0, count));
  return time;
}

Deno.test("what has a key is of unknown outcome if it is to be sent again and nobody can", async () => {
  const backend = new Forgetful();
  backend.forgets = Infinity;
  const broadcast = new Broadcast(backend, { timeout: 200 });
  const published = broadcast.publish(CHANNEL, "1", { idempotencyKey: "one" });
  await backend.called;
  const failed = assertRejects(() => published, OutcomeUnknownError);
  await broadcast.disconnect();
  const { message } = await failed;
  assert(
    /: (memory:\/\/ did not answer for 0.2 s|the broadcast was disconnected before it was answered),/
      .test(message),
    message,
  );
});

Deno.test("what is given before it is known what the server takes is checked when it is", async () => {
  const backend = new Learning();
  await using broadcast = new Broadcast(backend);
  const first = broadcast.publish(CHANNEL, "1", { idempotencyKey: "one" });
  // By now there is a backend, that connects.
  await backend.connecting;
  const second = broadcast.publish(CHANNEL, "2", { idempotencyKey: "two" });
  backend.finish();
  for (const published of [first, second]) {
    await assertRejects(() => published, RangeError, "now it is known");
  }
});

Deno.test("an aborted message with a key is not sent again", async () => {
  const backend = new Forgetful();
  backend.forgets = Infinity;
  await using broadcast = new Broadcast(backend);
  const leave = new AbortController();
  const published = broadcast.publish(CHANNEL, "1", {
    idempotencyKey: "one",
    signal: leave.signal,
  });
  await backend.called;
  leave.abort(new Error("left"));
  await assertRejects(() => published, Error, "left");
  const { length } = backend.calls;
  backend.forgets = 0;
  await broadcast.publish(CHANNEL, "2");
  assertEquals(backend.calls.slice(length).flat(), ["2"]);
});

/** Knows what it takes only once it is connected. */
class Learning extends MemoryBackend {
  #asked = Promise.withResolvers<void>();
  #connected = Promise.withResolvers<void>();
  #knows = false;

  get connecting(): Promise<void> {
    return this.#asked.promise;
  }

  finish(): void {
    this.#knows = true;
    this.#connected.resolve();
  }

  connect(): Promise<void> {
    this.#asked.resolve();
    return this.#connected.promise;
  }

  check(): void {
    if (this.#knows) throw new RangeError("now it is known");
  }
}

/** Lets so many milliseconds pass, and the event loop go on meanwhile. */
async function pass(milliseconds: number): Promise<void> {
  const start = performance.now();
  while (performance.now() - start < milliseconds) await turn();
}

/** A payload that a backend was given, and how that ends. */
interface Sent {
  accept(): void;
  lose(): void;
  refuse(error: Error): void;
}

/** Answers when the test says so. */
class Manual extends MemoryBackend {
  readonly calls: string[] = [];
  window: number | undefined;
  readonly #sent: Sent[] = [];
  #arrived = Promise.withResolvers<void>();
  #connecting: Promise<void> = Promise.resolve();

  /** What was given next. */
  async next(): Promise<Sent> {
    while (this.#sent.length === 0) await this.#arrived.promise;
    return this.#sent.shift()!;
  }

  /** Connects no more, until what it returns is called. */
  hold(): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#connecting = promise;
    return resolve;
  }

  connect(): Promise<void> {
    return this.#connecting;
  }

  override publish(messages: readonly OutgoingPayload[]) {
    this.calls.push(...messages.map(({ payload }) => String(payload)));
    return messages.map(() => {
      const { promise, resolve, reject } = Promise.withResolvers<Position>();
      this.#sent.push({
        accept: () => resolve(Position.start),
        lose: () => reject(new ConnectionError("the connection was lost")),
        refuse: reject,
      });
      this.#arrived.resolve();
      this.#arrived = Promise.withResolvers();
      return promise;
    });
  }
}

/** Stores, and loses its connection before it has answered: so many times. */
class Forgetful extends MemoryBackend {
  forgets = 1;
  readonly calls: string[][] = [];
  readonly #stores: readonly string[] | undefined;
  #called = Promise.withResolvers<void>();

  /** Only these are stored while it forgets, if they are given. */
  constructor(stores?: readonly string[]) {
    super();
    this.#stores = stores;
  }

  get called(): Promise<void> {
    return this.#called.promise;
  }

  override publish(messages: readonly OutgoingPayload[]) {
    this.calls.push(messages.map(({ payload }) => String(payload)));
    this.#called.resolve();
    if (this.forgets-- <= 0) return super.publish(messages);
    if (!this.#stores) void super.publish(messages);
    return messages.map(() => Promise.reject(new ConnectionError("the connection was lost")));
  }
}
