/** Event streams: their bytes against a standard parser, and their clients' comings and goings. */

import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { deadline } from "@std/async";
import type { EventSourceMessage } from "npm:eventsource-parser@3";
import type { BroadcastEvent } from "../../../core/backend/event.ts";
import { eventStream, eventStreamResponse, lastEventId } from "../../../core/sse/mod.ts";
import { Broadcast, type Codec, json, type MessageErrorEvent } from "../../../mod.ts";
import { numbered, take, uniqueChannel } from "../../conformance/harness.ts";
import { parsed, PATIENCE } from "./parsed.ts";

const NASTY = [
  "",
  " leading space",
  "two\nlines",
  "\n\n",
  "mac\rlines\r",
  "dos\r\nlines\r\n",
  "mixed\r\n\r\n\n\rlines",
  "one\nid: 999\nevent: forged\nretry: 1\n\ndata: forged",
  "\0nul\0",
  "\ufeffbom",
  ":comment",
  "data: data",
  "\u2028\u2029\u0085",
  "ünïcödé 🎉",
];

for (const message of NASTY) {
  Deno.test(`a message ${JSON.stringify(message)} is read as it was published`, async () => {
    const [event] = await roundTrip([message]);
    // The standard turns every newline form into a line feed.
    assertEquals(event!.data, message.replace(/\r\n|\r/g, "\n"));
    assertEquals(event!.event, undefined);
  });
}

Deno.test("random messages are read as they were published", async () => {
  const alphabet = ["\r", "\n", "\0", "\ufeff", ":", " ", "data", "id", "a", "é", "🎉"];
  const random = Array.from(
    { length: 500 },
    () =>
      Array.from(
        { length: Math.floor(Math.random() * 8) },
        () => alphabet[Math.floor(Math.random() * alphabet.length)],
      ).join(""),
  );
  const events = await roundTrip(random);
  assertEquals(
    events.map(({ data }) => data),
    random.map((message) => message.replace(/\r\n|\r/g, "\n")),
  );
});

Deno.test("every event has its id, and the stream opens with one", async () => {
  await using broadcast = new Broadcast("memory://");
  const subscription = await broadcast.subscribe("news");
  const stream = parsed(eventStream(subscription));
  await broadcast.publish("news", "one");
  const [event] = await stream.take(1);
  const resumed = await broadcast.subscribe("news", { after: event!.id });
  await broadcast.publish("news", "two");
  assertEquals((await parsed(eventStream(resumed)).take(1))[0]!.data, "two");
  assertEquals(stream.text.startsWith("retry: 1000\nid: "), true);
  const opening = /^retry: 1000\nid: (\S+)\n\n/.exec(stream.text)![1]!;
  const fromStart = await broadcast.subscribe("news", { after: opening });
  assertEquals(
    (await parsed(eventStream(fromStart)).take(2)).map(({ data }) => data),
    ["one", "two"],
  );
});

Deno.test("of several channels, each frame can tell its own", async () => {
  await using broadcast = new Broadcast("memory://");
  const subscription = await broadcast.subscribe(["news", "chatroom"]);
  const stream = parsed(eventStream(subscription, {
    data: (message, { channel }) => JSON.stringify({ channel, message }),
  }));
  await broadcast.publish("chatroom", "hello");
  await broadcast.publish("news", "today");
  const told = (await stream.take(2)).map(({ data }) => JSON.parse(data));
  assertEquals(told.toSorted((a, b) => a.channel < b.channel ? -1 : 1), [
    { channel: "chatroom", message: "hello" },
    { channel: "news", message: "today" },
  ]);
});

Deno.test("values other than strings are written as JSON, or as told", async () => {
  await using broadcast = new Broadcast("memory://", { codec: json<{ price: number }>() });
  const standard = parsed(eventStream(await broadcast.subscribe("gold")));
  const named = parsed(eventStream(await broadcast.subscribe("gold"), {
    event: "price",
    data: ({ price }) => `${price} $`,
  }));
  await broadcast.publish("gold", { price: 3 });
  assertEquals((await standard.take(1))[0]!.data, '{"price":3}');
  const [event] = await named.take(1);
  assertEquals([event!.event, event!.data], ["price", "3 $"]);
});

/** A value whose text needs more stack than there is, as one that is nested deep does on Node. */
const DEEP = { toJSON: (): unknown => DEEP.toJSON() };

for (
  const [what, message, reason] of [
    ["a bigint", 1n, "BigInt"],
    ["a value that is nested too deep", DEEP, "call stack"],
    ["a message that option data throws on", "throw", "no words for it"],
    ["a message that option data has no text for", 7, "option data must return a string"],
  ] as const
) {
  Deno.test(`${what} is a gap of one in each event stream, and one messageerror`, async () => {
    await using broadcast = new Broadcast("memory://", { codec: as(message) });
    const errors: MessageErrorEvent[] = [];
    broadcast.addEventListener("messageerror", (event) => errors.push(event));
    const data = typeof message === "object" || typeof message === "bigint" ? undefined : told;
    const streams = await Promise.all(
      [1, 2].map(async () => parsed(eventStream(await broadcast.subscribe("news"), { data }))),
    );
    await broadcast.publish("news", "one");
    const bad = await broadcast.publish("news", "bad");
    await broadcast.publish("news", "two");
    for (const stream of streams) {
      const [one, gap, two] = await stream.take(3);
      assertEquals([one!.data, two!.data], ["one", "two"]);
      assertEquals([gap!.event, gap!.id], ["gap", undefined]);
      assertEquals(JSON.parse(gap!.data), { cause: "unknown", after: one!.id, missed: 1 });
      // A browser that reconnects at this place does not meet it again.
      assert(stream.text.includes(`\n\nid: ${bad}\n\n`), stream.text);
      await stream.cancel();
    }
    assertEquals(errors.map(({ channel, payload }) => [channel, payload]), [["news", undefined]]);
    const { message: words } = errors[0]!.error as Error;
    assert(words.startsWith('Cannot write event of "news" to event stream: '), words);
    assert(words.includes(reason), words);
  });
}

/** A codec that decodes one payload to a value that no text can have. */
function as(message: unknown): Codec<unknown> {
  return {
    name: "as",
    encode: (text) => String(text),
    decode: (payload) => payload === "bad" ? message : payload,
  };
}

function told(message: unknown): string {
  if (message === "throw") throw new Error("no words for it");
  return message as string;
}

Deno.test("a bigint in a stream that was piped is a gap of one, too", async () => {
  const events = ReadableStream.from<BroadcastEvent<unknown>>([
    { channel: "news", message: 1n, id: "1" },
    { channel: "news", message: "two", id: "2" },
  ]);
  const [gap, two] = await parsed(eventStream(events)).take(2);
  assertEquals([JSON.parse(gap!.data), two!.data], [{ cause: "unknown", missed: 1 }, "two"]);
});

for (
  const [options, message] of [
    [
      { heartbeat: NaN },
      "option heartbeat must be a number of milliseconds of at least 0, it is NaN",
    ],
    [
      { heartbeat: -1 },
      "option heartbeat must be a number of milliseconds of at least 0, it is -1",
    ],
    [
      { heartbeat: "8s" },
      "option heartbeat must be a number of milliseconds of at least 0, it is a string",
    ],
    [{ retry: NaN }, "option retry must be a whole number of at least 0, it is NaN"],
    [{ retry: "1\nid: 7" }, "option retry must be a whole number of at least 0, it is a string"],
    [{ retry: 0.5 }, "option retry must be a whole number of at least 0, it is 0.5"],
    [{ data: "text" }, "option data must be a function, it is a string"],
    [{ event: 7 }, "event name must be a string, it is a number"],
    [
      { signal: new AbortController() },
      "option signal must be an AbortSignal, it is an AbortController, pass its signal",
    ],
    ["retry", "options must be an object, it is a string"],
  ] as const
) {
  Deno.test(`event stream: ${message}`, async () => {
    await using broadcast = new Broadcast("memory://");
    const subscription = await broadcast.subscribe("news");
    for (const write of [eventStream, eventStreamResponse]) {
      const error = assertThrows(() => void write(subscription, options as never)) as Error;
      assert(error.message.startsWith("Cannot write event stream: "), error.message);
      assert(error.message.endsWith(message), error.message);
      assertEquals(subscription.locked, false);
    }
  });
}

for (const name of ["a\nb", "a\rb", "a\0b"]) {
  Deno.test(`an event name ${JSON.stringify(name)} is refused`, async () => {
    await using broadcast = new Broadcast("memory://");
    const subscription = await broadcast.subscribe("news");
    const error = assertThrows(() => eventStream(subscription, { event: name }), TypeError);
    assertEquals(
      error.message,
      `Cannot write event stream: event name ${JSON.stringify(name)} has a line break or a NUL`,
    );
    assertEquals(subscription.locked, false);
  });
}

Deno.test("an id of somebody's own that could forge a field errors the stream", async () => {
  const events = ReadableStream.from<BroadcastEvent>([
    { channel: "news", message: "x", id: "1\ndata: forged" },
  ]);
  const reader = eventStream(events).getReader();
  await reader.read();
  const error = await reader.read().catch((error) => error);
  assertEquals(
    error.message,
    'Cannot write event stream: event id "1\\ndata: forged" has a line break or a NUL',
  );
});

Deno.test("a frame is made once and shared by all streams", async () => {
  await using broadcast = new Broadcast("memory://");
  const readers = await Promise.all(
    Array.from(
      { length: 3 },
      async () => eventStream(await broadcast.subscribe("news")).getReader(),
    ),
  );
  for (const reader of readers) await reader.read();
  const reads = readers.map((reader) => reader.read());
  await broadcast.publish("news", "hello");
  const [first, ...others] = await Promise.all(reads);
  for (const { value } of others) assertStrictEquals(value, first!.value);
  await Promise.all(readers.map((reader) => reader.cancel()));
});

Deno.test("frames that are ready are joined, up to 64 KiB", async () => {
  await using broadcast = new Broadcast("memory://");
  const reader = eventStream(await broadcast.subscribe("news")).getReader();
  await reader.read();
  const messages = Array.from({ length: 200 }, () => "x".repeat(1_000));
  await Promise.all(messages.map((message) => broadcast.publish("news", message)));
  const sizes: number[] = [];
  for (let size = 0; size < 200_000;) {
    const { value } = await reader.read();
    sizes.push(value!.length);
    size += value!.length;
  }
  assert(sizes.length < 10, `${sizes}`);
  assert(Math.max(...sizes) < 68_000, `${sizes}`);
  await reader.cancel();
});

Deno.test("what is published in one turn is one chunk, the same for all streams", async () => {
  await using broadcast = new Broadcast("memory://");
  const readers = await Promise.all(
    [1, 2].map(async () => eventStream(await broadcast.subscribe("news")).getReader()),
  );
  for (const reader of readers) await reader.read(); // the opening
  await Promise.all(numbered(50).map((message) => broadcast.publish("news", message)));
  const chunks = await Promise.all(readers.map((reader) => reader.read()));
  assertEquals(new TextDecoder().decode(chunks[0]!.value).match(/^data/gm)?.length, 50);
  assertStrictEquals(chunks[0]!.value, chunks[1]!.value);
});

Deno.test("64 KiB wait for a client that does not read, all else stays in the ring", async () => {
  await using broadcast = new Broadcast("memory://?history=0", { buffer: 20 });
  const stream = eventStream(await broadcast.subscribe("news"));
  const other = await broadcast.subscribe("news");
  const reading = take(other, 100);
  for (let count = 0; count < 100; count++) await broadcast.publish("news", "x".repeat(10_000));
  await reading;
  const frames = parsed(stream);
  const events = await frames.take(8);
  const place = events.findIndex(({ event }) => event === "gap");
  assert(place === 6 || place === 7, `the gap is event ${place}`);
  assertEquals(JSON.parse(events[place]!.data).missed, 100 - place - 20);
  await frames.cancel();
});

Deno.test("a comment is sent while nothing happens, and none to a client that does not read", async () => {
  await using broadcast = new Broadcast("memory://");
  const reading = parsed(eventStream(await broadcast.subscribe("news"), { heartbeat: 5 }));
  const stalled = eventStream(await broadcast.subscribe("news"), { heartbeat: 5 });
  await reading.until(/:\n\n:\n\n:\n\n/);
  await broadcast.publish("news", "hello");
  const late = parsed(stalled);
  await late.until(/data: hello\n\n/);
  assert(!late.text.includes(":\n\n"), late.text);
  await late.cancel();
  await reading.cancel();
});

Deno.test("a gap is a frame of its own, without an id, and comes at once", async () => {
  await using broadcast = new Broadcast("memory://?history=0", { linger: 0 });
  const first = await broadcast.subscribe("news");
  await broadcast.publish("news", "old");
  const { value: old } = await first.getReader().read();
  first.close();
  const resumed = await broadcast.subscribe("news", { after: old!.id });
  const stream = parsed(eventStream(resumed));
  const [gap] = await stream.take(1);
  assertEquals([gap!.event, gap!.id], ["gap", undefined]);
  assertEquals(JSON.parse(gap!.data), { cause: "disconnect", after: old!.id });
  await broadcast.publish("news", "new");
  assertEquals((await stream.take(1))[0]!.data, "new");
});

Deno.test("a subscription that was piped through something streams too", async () => {
  await using broadcast = new Broadcast("memory://");
  const shouted = (await broadcast.subscribe("news")).pipeThrough(
    new TransformStream<BroadcastEvent, BroadcastEvent>({
      transform: (event, controller) =>
        controller.enqueue({ ...event, message: event.message.toUpperCase() }),
    }),
  );
  const stream = parsed(eventStream(shouted));
  await broadcast.publish("news", "hello");
  assertEquals((await stream.take(1))[0]!.data, "HELLO");
  await stream.cancel();
});

Deno.test("the stream ends when the broadcast disconnects", async () => {
  const broadcast = new Broadcast("memory://");
  const reader = eventStream(await broadcast.subscribe("news")).getReader();
  await reader.read();
  const last = reader.read();
  await broadcast.disconnect();
  assertEquals((await last).done, true);
});

Deno.test("eventStreamResponse() keeps caches and proxies away, and takes headers", async () => {
  await using broadcast = new Broadcast("memory://");
  const response = eventStreamResponse(await broadcast.subscribe("news"), {
    headers: { "access-control-allow-origin": "*" },
  });
  assertEquals(response.status, 200);
  assertEquals(Object.fromEntries(response.headers), {
    "access-control-allow-origin": "*",
    "cache-control": "no-cache, no-transform",
    "content-type": "text/event-stream",
    "x-accel-buffering": "no",
  });
  await response.body!.cancel();
});

Deno.test("lastEventId(): the header first, the query after it, whatever they say", async () => {
  await using broadcast = new Broadcast("memory://");
  const subscription = await broadcast.subscribe("news");
  await broadcast.publish("news", "x");
  const { value } = await subscription.getReader().read();
  const { id } = value!;
  const url = "http://localhost/news";
  const header = (last: string) => ({ headers: { "last-event-id": last } });
  assertEquals(lastEventId(new Request(url)), undefined);
  assertEquals(lastEventId(new Request(url, header(id))), id);
  assertEquals(lastEventId(new Request(`${url}?lastEventId=${id}`)), id);
  assertEquals(lastEventId(new Request(`${url}?lastEventId=other`, header(id))), id);
  assertEquals(lastEventId(new Request(url, header("42"))), "42");
  assertEquals(lastEventId(new Request(`${url}?lastEventId=${id}`, header(""))), id);
  assertEquals(lastEventId(new Request(`${url}?lastEventId=`)), undefined);
});

for (
  const [order, leave] of [
    ["cancel() alone", (reader: Reader, _: AbortController) => reader.cancel()],
    ["the signal alone", (_: Reader, abort: AbortController) => abort.abort()],
    ["cancel(), then the signal", async (reader: Reader, abort: AbortController) => {
      await reader.cancel();
      abort.abort();
    }],
    ["the signal, then cancel()", async (reader: Reader, abort: AbortController) => {
      abort.abort();
      await reader.cancel();
    }],
  ] as const
) {
  for (const pending of [false, true]) {
    for (const both of [false, true]) {
      Deno.test(`${order} releases the subscription${pending ? ", under a pending read" : ""}${both ? ", signal given twice" : ""}`, async () => {
        const unhandled: unknown[] = [];
        const watch = (event: PromiseRejectionEvent) => {
          event.preventDefault();
          unhandled.push(event.reason);
        };
        addEventListener("unhandledrejection", watch);
        await using broadcast = new Broadcast("memory://");
        const abort = new AbortController();
        const { signal } = abort;
        const subscription = await broadcast.subscribe("news", both ? { signal } : {});
        const reader = eventStream(subscription, { signal }).getReader();
        await reader.read();
        const read = pending ? reader.read().catch(() => {}) : undefined;
        await leave(reader, abort);
        await read;
        assertEquals(subscription.locked, false);
        assertEquals(
          await subscription.getReader().read().catch(() => ({ done: true })).then(({ done }) =>
            done
          ),
          true,
        );
        await new Promise((resolve) => setTimeout(resolve, 0));
        removeEventListener("unhandledrejection", watch);
        assertEquals(unhandled, []);
      });
    }
  }
}

Deno.test("a signal that is aborted already ends the stream at once", async () => {
  await using broadcast = new Broadcast("memory://");
  const subscription = await broadcast.subscribe("news");
  const stream = eventStream(subscription, { signal: AbortSignal.abort() });
  const reader = stream.getReader();
  while (!(await reader.read()).done);
  assertEquals(subscription.locked, false);
});

Deno.test("a client of a real server that reconnects misses nothing; one that leaves is let go of", async () => {
  await using broadcast = new Broadcast("memory://");
  const channel = uniqueChannel();
  const left = Promise.withResolvers<void>();
  await using server = Deno.serve({ port: 0, onListen: () => {} }, async (request) => {
    const after = lastEventId(request);
    const subscription = await broadcast.subscribe(channel, { after });
    request.signal.addEventListener("abort", () => left.resolve());
    return eventStreamResponse(subscription, { signal: request.signal, retry: 10 });
  });
  const url = `http://127.0.0.1:${server.addr.port}/`;
  const first = new AbortController();
  const response = await fetch(url, { signal: first.signal });
  const stream = parsed(response.body!);
  await stream.until(/id: /);
  await broadcast.publish(channel, "one");
  const [one] = await stream.take(1);
  first.abort();
  await deadline(left.promise, PATIENCE);
  await broadcast.publish(channel, "meanwhile");
  const second = new AbortController();
  const again = await fetch(url, {
    headers: { "last-event-id": one!.id! },
    signal: second.signal,
  });
  const resumed = parsed(again.body!);
  await resumed.until(/meanwhile/);
  await broadcast.publish(channel, "two");
  assertEquals((await resumed.take(2)).map(({ data }) => data), ["meanwhile", "two"]);
  second.abort();
});

type Reader = ReadableStreamDefaultReader<Uint8Array>;

async function roundTrip(messages: readonly string[]): Promise<EventSourceMessage[]> {
  await using broadcast = new Broadcast("memory://");
  const stream = parsed(eventStream(await broadcast.subscribe("news")));
  const published = Promise.all(messages.map((message) => broadcast.publish("news", message)));
  const events = await stream.take(messages.length);
  await published;
  await stream.cancel();
  return events;
}
