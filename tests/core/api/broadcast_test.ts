/** The broadcast itself: its arguments, its errors word for word, and backends that misbehave. */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertNotEquals,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { MemoryBackend } from "../../../backends/memory/log.ts";
import type {
  Backend,
  Item,
  OutgoingPayload,
  RecordReader,
  Tail,
} from "../../../core/backend/contract.ts";
import { Position } from "../../../core/backend/position.ts";
import {
  Broadcast,
  bytes,
  compressed,
  ConnectionError,
  encrypted,
  json,
  RefusedError,
  type SubscribeOptions,
  Subscription,
  text,
} from "../../../mod.ts";
import { messages, take } from "../../conformance/harness.ts";

const CORE = "buffer, linger, timeout, probe, maxMessage";
const ENCODE = "; in a user name or a password, / ? # @ : are written %2F %3F %23 %40 %3A";
const SCHEMES =
  "memory, broadcast-channel, redis, rediss, redis+unix, redis-stream, rediss-stream, redis-stream+unix, postgres, postgresql, postgres-stream, postgresql-stream, kafka, amqp, amqps, amqp-stream, amqps-stream, mqtt, mqtts, nats, nats-stream";

for (
  const [url, message] of [
    [
      "unknown://host",
      `Cannot open "unknown://host": unknown scheme "unknown", known schemes are ${SCHEMES}`,
    ],
    [
      "constructor://host",
      `Cannot open "constructor://host": unknown scheme "constructor", known schemes are ${SCHEMES}`,
    ],
    [
      "memory://?historry=3",
      `Cannot open "memory://": unknown parameter "historry", did you mean "history"?`,
    ],
    [
      "nats-stream://h?max_bytes=5",
      `Cannot open "nats-stream://h": unknown parameter "max_bytes", did you mean "maxBytes"?`,
    ],
    [
      "redis://u:s3cret@h/0?x=1",
      `Cannot open "redis://h/0": unknown parameter "x", known parameters are ${CORE}, prefix, cluster, sentinel, sentinelUsername, sentinelPassword, ca, cert, key, db, family, protocol, tls, ssl, ssl_cert_reqs, client_name`,
    ],
    [
      "memory://?linger=soon",
      `Cannot open "memory://": parameter "linger" must be a duration such as 250ms, 10s or 7d, it is "soon"`,
    ],
    [
      "memory://?timeout=5",
      `Cannot open "memory://": parameter "timeout" must be a duration with its unit, such as 5s or 5ms, it is "5"`,
    ],
    [
      "memory://?probe=0.5",
      `Cannot open "memory://": parameter "probe" must be a duration with its unit, such as 0.5s or 0.5ms, it is "0.5"`,
    ],
    [
      "memory://?buffer=1",
      `Cannot open "memory://": parameter "buffer" must be a whole number of at least 2, it is "1"`,
    ],
    [
      "redis://u:s3cret@host:99999",
      `Cannot open "redis:…": the URL is malformed, a host in it is not host or host:port${ENCODE}`,
    ],
    [
      "redis://u:s3%cret@host",
      `Cannot open "redis:…": the URL is malformed, a "%" in it is not followed by two hexadecimal digits`,
    ],
    [
      "redis://u:s3cret@ho st",
      `Cannot open "redis:…": the URL is malformed, a host in it is not host or host:port${ENCODE}`,
    ],
    [
      "localhost",
      `Cannot open a broadcast: the URL is malformed, it is not scheme://host${ENCODE}`,
    ],
    ["", `Cannot open a broadcast: the URL is malformed, it is not scheme://host${ENCODE}`],
  ] as const
) {
  Deno.test(`new Broadcast("${url.replace("s3cret", "…")}") throws at once`, () => {
    const error = assertThrows(() => new Broadcast(url), TypeError);
    assertEquals(error.message, message);
    assertEquals(Deno.inspect(error, { depth: 10 }).includes("s3cret"), false);
  });
}

const TARGET =
  "Cannot open broadcast: target must be a URL, a backend or the result of a factory such as redis(), it is";
const OPTIONS = "Cannot open broadcast: options must be an object, such as { codec: json() }, not";
const CODEC = "must be a codec, such as json(), it is";
const open = (...given: unknown[]) => new Broadcast(...given as [string]);

for (
  const [what, make, message] of [
    ["nothing", () => open(), `${TARGET} undefined`],
    ["null", () => open(null), `${TARGET} null`],
    ["a number", () => open(6379), `${TARGET} a number`],
    ["an object", () => open({ href: 1 }), `${TARGET} an Object`],
    ["an object without a prototype", () => open(Object.create(null)), `${TARGET} an Object`],
    ["a symbol", () => open(Symbol("memory://")), `${TARGET} a symbol`],
    ["a class", () => open(MemoryBackend), `${TARGET} a function`],
    ["a promise", () => open(Promise.resolve()), `${TARGET} a Promise`],
    ["options that are a string", () => open("memory://", "json"), `${OPTIONS} a string`],
    ["options that are a codec", () => open("memory://", json()), `${OPTIONS} a codec`],
    [
      "a codec that is none",
      () => open("memory://", { codec: json }),
      `Cannot open broadcast: option codec ${CODEC} a function`,
    ],
    [
      "a codec that cannot decode",
      () => open("memory://", { codec: { encode: String } }),
      `Cannot open broadcast: option codec ${CODEC} an Object`,
    ],
    [
      "schemas that are none",
      () => open("memory://", { channels: 5 }),
      "Cannot open broadcast: option channels must be an object of schemas, it is a number",
    ],
    [
      "nothing to compress",
      () => compressed(undefined as never),
      `Cannot compress messages: argument codec ${CODEC} undefined`,
    ],
    [
      "nothing to encrypt",
      () => encrypted(null as never, { current: "1", keys: { "1": new Uint8Array(16) } }),
      `Cannot encrypt messages: argument codec ${CODEC} null`,
    ],
    [
      "no keys to encrypt with",
      () => encrypted(json(), null as never),
      "Cannot encrypt messages: keys must be an object of keys by their ids, it is undefined",
    ],
  ] as const
) {
  Deno.test(`${what} is refused at once`, () => {
    assertEquals(assertThrows(make, TypeError).message, message);
  });
}

Deno.test("a URL of another realm is taken, and null for no options", async () => {
  const { href } = new URL("memory://?linger=0");
  await using broadcast = open({ href, toString: () => href }, null);
  await broadcast.connect();
  assertEquals(broadcast.state, "connected");
});

Deno.test("a URL object and absent options are taken", async () => {
  await using broadcast = new Broadcast(new URL("memory://?linger=0"), undefined);
  await broadcast.connect();
  await broadcast.publish("chatroom", "hello", undefined);
});

for (
  const url of [
    "redis://:s3cret/1@localhost",
    "redis://user:s3cret?x@localhost",
    "kafka://user:s3cret/x@host:9092,other",
    "postgres://user:s3cret/x@localhost/db",
    "postgres://user:s3cret#x@localhost",
  ]
) {
  Deno.test(`a password that is not encoded is not shown: ${url.replace("s3cret", "…")}`, () => {
    const error = assertThrows(() => new Broadcast(url), TypeError);
    assertEquals(Deno.inspect(error, { depth: 10 }).includes("s3cret"), false);
    assert(error.message.endsWith(ENCODE), error.message);
  });
}

Deno.test("options out of range throw", () => {
  const error = assertThrows(() => new Broadcast("memory://", { buffer: 0 }), RangeError);
  assertEquals(
    error.message,
    "Cannot open broadcast: option buffer must be a whole number of at least 2, it is 0",
  );
});

Deno.test("what a subscription is told must mean something", async () => {
  await using broadcast = new Broadcast("memory://");
  const refused: [options: unknown, message: string][] = [
    [
      { onGap: "throw" },
      'Cannot subscribe to "chatroom": option onGap must be "continue", "error" or a function, it is "throw"',
    ],
    [
      { onGap: null },
      'Cannot subscribe to "chatroom": option onGap must be "continue", "error" or a function, it is null',
    ],
    [
      { after: 7 },
      'Cannot subscribe to "chatroom": option after must be an id, it is a number',
    ],
  ];
  for (const [options, message] of refused) {
    const error = await assertRejects(
      () => broadcast.subscribe("chatroom", options as SubscribeOptions),
      TypeError,
    );
    assertEquals(error.message, message);
  }
});

Deno.test("an id of an event that is yet to come counts as none, with a gap", async () => {
  await using broadcast = new Broadcast("memory://?history=0");
  for (const target of ["chatroom", ["chatroom", "news"], { pattern: "*" }]) {
    const first = await broadcast.subscribe(target);
    await broadcast.publish("chatroom", "old");
    const { value } = await first.getReader().read();
    const after = value!.id.replace(/(?<=\.)[0-9a-z]+(?=$|\.\.)/, "zzzzzzzzzzz");
    assertNotEquals(after, value!.id);
    const live = await broadcast.subscribe(target, { after });
    await broadcast.publish("chatroom", "new");
    const [event] = await take(live, 1);
    assertEquals([event!.message, event!.gap], ["new", { cause: "unknown" }]);
    first.close();
  }
});

Deno.test("an id of which one channel knows nothing counts as none, and history counts", async () => {
  await using broadcast = new Broadcast("memory://");
  const channels = ["chatroom", "news"];
  const first = await broadcast.subscribe(channels);
  await broadcast.publish("chatroom", "old");
  const { id } = (await take(first, 1))[0]!;
  // 2 ** 53 is no place, one part is not two.
  for (const after of [id.replace(/~1(?=_)/, "~2gosa7pa2gw"), id.slice(0, id.lastIndexOf(".."))]) {
    assertNotEquals(after, id);
    const resumed = await broadcast.subscribe(channels, { after, history: 1 });
    const [event] = await take(resumed, 1);
    assertEquals([event!.message, event!.gap], ["old", { cause: "unknown" }]);
  }
});

Deno.test("an id that is null, as headers have it, is none", async () => {
  await using broadcast = new Broadcast("memory://");
  const after = new Headers().get("last-event-id");
  await broadcast.publish("chatroom", "old");
  for (const target of ["chatroom", ["chatroom", "news"], { pattern: "*" }]) {
    const subscription = await broadcast.subscribe(target, { after, history: 1 });
    assertEquals(await messages(subscription, 1), ["old"]);
  }
  const past = await broadcast.history("chatroom", { after, before: null });
  assertEquals(past.map(({ message }) => message), ["old"]);
});

for (
  const [kind, name, message] of [
    ["empty", "", "its name is empty"],
    ["a number", 7, "its name must be a string, it is a number"],
    ["missing", undefined, "its name must be a string, it is undefined"],
    ["ill-formed", "\ud800", "its name has a lone surrogate"],
  ] as const
) {
  Deno.test(`a channel that is ${kind} is refused`, async () => {
    await using broadcast = new Broadcast("memory://");
    const subscribed = await assertRejects(() => broadcast.subscribe(name as string), TypeError);
    assertEquals(subscribed.message, `Cannot subscribe to channel: ${message}`);
    const published = await assertRejects(() => broadcast.publish(name as string, ""), TypeError);
    assertEquals(published.message, `Cannot publish to channel: ${message}`);
  });
}

Deno.test("messages that the codec cannot encode are refused, word for word", async () => {
  await using texts = new Broadcast("memory://");
  await using values = new Broadcast("memory://", { codec: json() });
  await using raw = new Broadcast("memory://", { codec: bytes() });
  const cycle: Record<string, unknown> = {};
  cycle.self = cycle;
  for (
    const [publish, message] of [
      [
        () => texts.publish("c", {} as string),
        "Cannot encode message as text: it is an Object, use the json() or bytes() codec",
      ],
      [
        () => texts.publish("c", null as unknown as string),
        "Cannot encode message as text: it is null, use the json() or bytes() codec",
      ],
      [() => values.publish("c", undefined), "Cannot encode message as JSON: it is undefined"],
      [() => values.publish("c", () => {}), "Cannot encode message as JSON: it is a function"],
      [
        () => values.publish("c", 1n),
        "Cannot encode message as JSON: Do not know how to serialize a BigInt",
      ],
      [
        () => raw.publish("c", "text" as unknown as Uint8Array),
        "Cannot encode message as bytes: it is a string",
      ],
    ] as const
  ) assertEquals((await assertRejects(publish, TypeError)).message, message);
  const error = await assertRejects(() => values.publish("c", cycle), TypeError);
  assertEquals(
    error.message.startsWith("Cannot encode message as JSON: Converting circular"),
    true,
  );
});

Deno.test("the text codec keeps a BOM and refuses what is not UTF-8", () => {
  assertEquals(text().decode(Uint8Array.of(0xef, 0xbb, 0xbf, 0x61)), "\ufeffa");
  // It looks as if something had been replaced.
  assertEquals(text().decode(new TextEncoder().encode("a\ufffdb")), "a\ufffdb");
  assertThrows(() => text().decode(Uint8Array.of(0x61, 0xef, 0xbf, 0xbd, 0xc3)), TypeError);
  assertThrows(() => text().decode(Uint8Array.of(0xff)), TypeError);
});

Deno.test("a backend that names a place that is none is told, and holds up nothing", async () => {
  const backend: Backend = new Spy();
  backend.publish = () => [Promise.resolve(Position.of({ shard: 0, at: 1 } as never))];
  await using broadcast = new Broadcast(backend);
  await assertRejects(() => broadcast.publish("c", "m"), TypeError);
});

Deno.test("connect() twice, and at once, connects once", async () => {
  await using broadcast = new Broadcast("memory://");
  const states: string[] = [];
  broadcast.addEventListener("statechange", ({ state }) => states.push(state));
  await Promise.all([broadcast.connect(), broadcast.connect()]);
  await broadcast.connect();
  assertEquals(states, ["connecting", "connected"]);
});

Deno.test("a subscription is a ReadableStream, and says what it is subscribed to", async () => {
  await using broadcast = new Broadcast("memory://");
  const subscription = await broadcast.subscribe("chatroom");
  assertEquals(subscription.target, "chatroom");
  assertInstanceOf(subscription, ReadableStream);
  assertInstanceOf(subscription, Subscription);
  assertInstanceOf(broadcast, Broadcast as unknown as new () => EventTarget);
});

Deno.test("await using leaves the channel and disconnects", async () => {
  const backend = new Spy();
  {
    await using broadcast = new Broadcast(backend, { linger: 0 });
    {
      await using subscription = await broadcast.subscribe("chatroom");
      await broadcast.publish("chatroom", "hello");
      assertEquals(await messages(subscription, 1), ["hello"]);
    }
  }
  assertEquals(backend.calls, [
    "tail chatroom",
    "publish chatroom:hello",
    "cancel chatroom",
    "close",
  ]);
});

Deno.test("a channel is asked for once, however many subscribe, and let go of with the last", async () => {
  const backend = new Spy();
  await using broadcast = new Broadcast(backend, { linger: 0 });
  const many = await Promise.all(Array.from({ length: 10 }, () => broadcast.subscribe("chatroom")));
  for (const subscription of many.slice(1)) subscription.close();
  assertEquals(backend.calls, ["tail chatroom"]);
  many[0]!.close();
  await backend.cancelled.promise;
  assertEquals(backend.calls, ["tail chatroom", "cancel chatroom"]);
});

Deno.test("one turn's messages travel together, each channel's in order", async () => {
  const backend = new Spy();
  await using broadcast = new Broadcast(backend);
  await broadcast.connect();
  await Promise.all([
    broadcast.publish("a", "1"),
    broadcast.publish("b", "1"),
    broadcast.publish("a", "2"),
  ]);
  assertEquals(backend.calls, ["publish a:1 b:1 a:2"]);
});

Deno.test("a new subscriber waits until the broker has let go of the channel", async () => {
  const backend = new Spy();
  const release = Promise.withResolvers<void>();
  backend.releasing = release.promise;
  await using broadcast = new Broadcast(backend, { linger: 0 });
  (await broadcast.subscribe("chatroom")).close();
  const again = broadcast.subscribe("chatroom");
  await backend.cancelled.promise;
  assertEquals(backend.calls, ["tail chatroom", "cancel chatroom"]);
  release.resolve();
  await again;
  assertEquals(backend.calls, ["tail chatroom", "cancel chatroom", "tail chatroom"]);
});

Deno.test("an abort while subscribing leaves nothing subscribed", async () => {
  const backend = new Spy();
  const opening = Promise.withResolvers<void>();
  backend.opening = opening.promise;
  await using broadcast = new Broadcast(backend, { linger: 0 });
  await broadcast.connect();
  const abort = new AbortController();
  const reason = new Error("enough");
  const pending = broadcast.subscribe("chatroom", { signal: abort.signal });
  await backend.asked.promise;
  abort.abort(reason);
  assertEquals(await assertRejects(() => pending), reason);
  opening.resolve();
  await backend.cancelled.promise;
  assertEquals(backend.calls, ["tail chatroom", "cancel chatroom"]);
});

Deno.test("an abort while connecting rejects the call, and the connection is made all the same", async () => {
  const backend = new Spy();
  const connecting = Promise.withResolvers<void>();
  await using broadcast = new Broadcast(
    Object.assign(backend, { connect: () => connecting.promise }),
  );
  const abort = new AbortController();
  const reason = new Error("enough");
  const pending = broadcast.connect({ signal: abort.signal });
  abort.abort(reason);
  assertEquals(await assertRejects(() => pending), reason);
  connecting.resolve();
  await broadcast.connect();
  assertEquals(broadcast.state, "connected");
});

Deno.test("an abort while a message waits rejects it, and it is never sent", async () => {
  const backend = new Spy();
  const connecting = Promise.withResolvers<void>();
  await using broadcast = new Broadcast(
    Object.assign(backend, { connect: () => connecting.promise }),
  );
  const abort = new AbortController();
  const reason = new Error("enough");
  const aborted = broadcast.publish("chatroom", "never", { signal: abort.signal });
  const sent = broadcast.publish("chatroom", "sent");
  abort.abort(reason);
  assertEquals(await assertRejects(() => aborted), reason);
  connecting.resolve();
  await sent;
  assertEquals(backend.calls, ["publish chatroom:sent"]);
});

Deno.test("disconnect() while the broker does not answer a subscribe hangs nobody", async () => {
  const backend = new Spy();
  backend.opening = new Promise(() => {});
  const broadcast = new Broadcast(backend);
  const pending = broadcast.subscribe("chatroom");
  await backend.asked.promise;
  const rejected = assertRejects(() => pending, Error, "it is disconnected");
  await broadcast.disconnect();
  await rejected;
});

Deno.test("a backend that cannot subscribe rejects with its reason, and works later", async () => {
  const backend = new Spy();
  backend.opening = Promise.reject(new Error("no such luck"));
  await using broadcast = new Broadcast(backend);
  const error = await assertRejects(() => broadcast.subscribe("chatroom"), ConnectionError);
  assertEquals(error.message, 'Cannot subscribe to "chatroom": no such luck');
  assertEquals((error.cause as Error).message, "no such luck");
  backend.opening = Promise.resolve();
  const subscription = await broadcast.subscribe("chatroom");
  await broadcast.publish("chatroom", "hello");
  assertEquals(await messages(subscription, 1), ["hello"]);
});

Deno.test("a backend that fails for good reaches every reader, after what had arrived", async () => {
  const backend = new Spy();
  await using broadcast = new Broadcast(backend);
  const waiting = await broadcast.subscribe("chatroom");
  const lagging = await broadcast.subscribe("chatroom");
  const reading = waiting.getReader();
  await broadcast.publish("chatroom", "hello");
  await reading.read();
  const failed = assertRejects(() => reading.read(), RefusedError);
  backend.fail("chatroom", new RefusedError("compressed with snappy"));
  assertEquals((await failed).message, 'Cannot subscribe to "chatroom": compressed with snappy');
  assertEquals(await messages(lagging, 1), ["hello"]);
  await assertRejects(() => take(lagging, 1), RefusedError);
  const again = await broadcast.subscribe("chatroom");
  await broadcast.publish("chatroom", "again");
  assertEquals(await messages(again, 1), ["again"]);
});

Deno.test("a tail that is lost opens again, with one gap for each subscription", async () => {
  const backend = new Spy();
  await using broadcast = new Broadcast(backend);
  const gaps: unknown[] = [];
  broadcast.addEventListener("gap", ({ channel, gap }) => gaps.push(channel, gap.cause));
  const subscription = await broadcast.subscribe("chatroom");
  const next = take(subscription, 1);
  const back = new Promise<void>((resolve) =>
    broadcast.addEventListener("gap", () => resolve(), { once: true })
  );
  backend.fail("chatroom", new Error("gone"));
  await back;
  await broadcast.publish("chatroom", "after");
  const [event] = await next;
  assertEquals(event!.gap!.cause, "disconnect");
  assertEquals(gaps, ["chatroom", "disconnect"]);
});

Deno.test("a subscriber who comes after a gap does not see it", async () => {
  const backend = new Spy();
  await using broadcast = new Broadcast(backend);
  await broadcast.subscribe("chatroom");
  const back = new Promise<void>((resolve) =>
    broadcast.addEventListener("gap", () => resolve(), { once: true })
  );
  backend.fail("chatroom", new Error("gone"));
  await back;
  const late = await broadcast.subscribe("chatroom");
  await broadcast.publish("chatroom", "hello");
  const [event] = await take(late, 1);
  assertEquals(event!.gap, undefined);
});

Deno.test("a publish that the broker refuses rejects that publish only", async () => {
  const backend = new Spy();
  await using broadcast = new Broadcast(backend);
  backend.refusing = new Error("no permission");
  const error = await assertRejects(() => broadcast.publish("chatroom", "x"), RefusedError);
  assertEquals(error.message, 'Cannot publish to "chatroom": no permission');
  backend.refusing = undefined;
  await broadcast.publish("chatroom", "y");
  assertEquals(broadcast.state, "connected");
});

Deno.test("of one turn's messages the backend may refuse some and accept the others", async () => {
  const backend: Backend = new MemoryBackend(0);
  const publish = backend.publish.bind(backend);
  backend.publish = (messages) => {
    publish(messages.filter(({ payload }) => payload !== "bad"));
    return messages.map(({ payload }) =>
      payload === "bad" ? Promise.reject(new Error("it is bad")) : Promise.resolve(undefined)
    );
  };
  await using broadcast = new Broadcast(backend);
  const subscription = await broadcast.subscribe("chatroom");
  const outcomes = await Promise.allSettled(
    ["a", "bad", "b"].map((message) => broadcast.publish("chatroom", message)),
  );
  assertEquals(outcomes.map(({ status }) => status), ["fulfilled", "rejected", "fulfilled"]);
  assertEquals(await messages(subscription, 2), ["a", "b"]);
});

Deno.test("one turn may bring more than may wait: that is a gap, and never silence", async () => {
  const backend = new Spy();
  await using broadcast = new Broadcast(backend, { codec: bytes() });
  const subscription = await broadcast.subscribe("chatroom");
  const megabyte = new Uint8Array(1 << 20);
  const next = take(subscription, 1);
  const told = new Promise((resolve) =>
    broadcast.addEventListener("gap", ({ gap }) => resolve(gap.cause), { once: true })
  );
  await Promise.all(Array.from({ length: 20 }, () => broadcast.publish("chatroom", megabyte)));
  assertEquals(await told, "overflow");
  assertEquals((await next).length, 1);
  assertEquals(broadcast.state, "connected");
});

for (const url of ["memory://", "memory://?history=0"]) {
  for (const target of ["c", ["c", "d"]]) {
    Deno.test(`an event of ${target} on ${url} is the same when it is copied`, async () => {
      await using broadcast = new Broadcast(`${url}${url.includes("?") ? "&" : "?"}buffer=2`);
      const subscription = await broadcast.subscribe(target, { after: "of no channel" });
      const late = await broadcast.subscribe(target);
      const headers = { user: "ada" };
      for (const message of ["one", "two", "three"]) {
        await broadcast.publish("c", message, { headers });
      }
      const events = [...await take(subscription, 1), ...await take(late, 1)];
      assertEquals(events[0]!.gap?.cause, "unknown");
      for (const event of events) {
        const keys = ["channel", "message", "id", "headers"];
        for (const key of keys) assert(Object.keys(event).includes(key), key);
        for (const key in event) assert(Object.hasOwn(event, key), key);
        const { timestamp, ...rest } = event;
        assertEquals(typeof timestamp, url === "memory://" ? "number" : "undefined");
        assertEquals(Object.getPrototypeOf(event), Object.prototype);
        for (const copy of [{ ...event }, structuredClone(event)]) assertEquals(copy, event);
        assertEquals(JSON.parse(JSON.stringify(event)), event);
        assertEquals(Object.keys(rest), Object.keys(event).filter((key) => key !== "timestamp"));
      }
    });
  }
}

/** A memory backend whose calls can be seen, held and failed. */
class Spy implements Backend {
  readonly name = "spy";
  readonly address = "spy://";
  readonly features = { crossProcess: true, binary: true };
  readonly calls: string[] = [];
  readonly asked: PromiseWithResolvers<void> = Promise.withResolvers();
  readonly cancelled: PromiseWithResolvers<void> = Promise.withResolvers();
  opening: Promise<void> | undefined;
  releasing: Promise<void> | undefined;
  refusing: Error | undefined;
  readonly #memory = new MemoryBackend(0);
  readonly #failing = new Map<string, (reason: unknown) => void>();

  async publish(messages: readonly OutgoingPayload[]): Promise<void> {
    if (this.refusing) throw this.refusing;
    const parts = messages.map(({ channel, payload }) => `${channel}:${payload}`);
    this.calls.push(`publish ${parts.join(" ")}`);
    await this.#memory.publish(messages);
  }

  async tail(channel: string): Promise<Tail> {
    this.calls.push(`tail ${channel}`);
    this.asked.resolve();
    await this.opening;
    const reader = (await this.#memory.tail(channel)).records as RecordReader;
    const failure = new Promise<never>((_, reject) => this.#failing.set(channel, reject));
    failure.catch(() => {});
    return {
      records: new ReadableStream<readonly Item[]>({
        pull: async (controller) => {
          const { done, value } = await Promise.race([reader.read(), failure]);
          if (!done) controller.enqueue(value);
        },
        cancel: async () => {
          this.calls.push(`cancel ${channel}`);
          this.cancelled.resolve();
          await this.releasing;
          await reader.cancel();
        },
      }, { highWaterMark: 0 }),
    };
  }

  fail(channel: string, reason: unknown): void {
    assert(this.#failing.has(channel));
    this.#failing.get(channel)!(reason);
  }

  async close(): Promise<void> {
    this.calls.push("close");
    await this.#memory.close();
  }
}
