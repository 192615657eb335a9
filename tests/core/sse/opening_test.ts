/** Event streams whose subscription is on its way, and how every kind of stream is let go of. */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { deadline } from "@std/async";
import { runInNewContext } from "node:vm";
import { eventStream, eventStreamResponse } from "../../../core/sse/mod.ts";
import {
  Broadcast,
  type BroadcastEvent,
  ClosedError,
  ConnectionError,
  RefusedError,
  type Subscription,
} from "../../../mod.ts";
import { parsed, PATIENCE } from "./parsed.ts";

type Bytes = ReadableStream<Uint8Array>;

Deno.test("an event stream starts before its subscription is there", async () => {
  await using broadcast = new Broadcast("memory://");
  const { promise, resolve } = Promise.withResolvers<Subscription>();
  const stream = parsed(eventStream(promise, { heartbeat: 5 }));
  await stream.until(/^retry: 1000\n\n:\n\n:\n\n/);
  resolve(await broadcast.subscribe("news"));
  await stream.until(/\n\nid: \S+\n\n/);
  await broadcast.publish("news", "hello");
  assertEquals((await stream.take(1))[0]!.data, "hello");
  await stream.cancel();
});

Deno.test("a subscription that is there at once opens the stream with its id", async () => {
  await using broadcast = new Broadcast("memory://");
  for (const events of [broadcast.subscribe("news"), () => broadcast.subscribe("news")]) {
    const { body } = await eventStreamResponse(events);
    const stream = parsed(body!);
    await stream.until(/^retry: 1000\nid: \S+\n\n/);
    await stream.cancel();
  }
});

Deno.test("a promise of another realm is a promise", async () => {
  await using broadcast = new Broadcast("memory://");
  const subscription = await broadcast.subscribe("news");
  const promise = runInNewContext("Promise.resolve(given)", { given: subscription });
  const stream = parsed((await eventStreamResponse(promise as Promise<Subscription>)).body!);
  await broadcast.publish("news", "hello");
  assertEquals((await stream.take(1))[0]!.data, "hello");
  await stream.cancel();
});

Deno.test("HEAD gets the headers alone, and no subscription", async () => {
  await using broadcast = new Broadcast("memory://");
  const request = new Request("http://localhost/news", { method: "HEAD" });
  const subscription = await broadcast.subscribe("news");
  const responses = [
    await eventStreamResponse(() => Promise.reject(new Error("called")), { request }),
    await eventStreamResponse(Promise.resolve(subscription), { request }),
    eventStreamResponse(await broadcast.subscribe("news"), { request }),
  ];
  for (const { status, headers, body } of responses) {
    assertEquals([status, headers.get("content-type"), body], [200, "text/event-stream", null]);
  }
  assertEquals((await deadline(subscription.getReader().read(), PATIENCE)).done, true);
});

Deno.test("a response waits for a moment, and is sent without its subscription", async () => {
  const { promise, reject } = Promise.withResolvers<Subscription>();
  const response = await deadline(eventStreamResponse(promise), PATIENCE);
  assertEquals(response.status, 200);
  const reader = response.body!.getReader();
  assertEquals(new TextDecoder().decode((await reader.read()).value), "retry: 1000\n\n");
  // What stays unavailable ends the stream, so that the browser comes back.
  reject(new ConnectionError("away"));
  assertEquals((await deadline(reader.read(), PATIENCE)).done, true);
});

for (
  const error of [
    new ConnectionError("the broker is away"),
    new ClosedError("this server ends"),
    new DOMException("the client has left", "AbortError"),
    runInNewContext('Object.assign(new Error("away"), { name: "ConnectionError" })') as Error,
  ]
) {
  Deno.test(`"${error.message}" is no error status: the browser comes back`, async () => {
    const response = await eventStreamResponse(Promise.reject(error));
    assertEquals([response.status, await response.text()], [200, "retry: 1000\n\n"]);
    // It comes back over the same connection, unless this process ends.
    const connection = response.headers.get("connection");
    assertEquals(connection, error instanceof ClosedError ? "close" : null);
    assertEquals(await new Response(eventStream(Promise.reject(error))).text(), "retry: 1000\n\n");
  });
}

for (
  const error of [
    new RefusedError("no right"),
    new TypeError("a bad name"),
    new RangeError("a long name"),
    new Error("the client library is not installed"),
  ]
) {
  Deno.test(`"${error.message}" rejects, before anything is sent`, async () => {
    assertEquals(
      await assertRejects(() => eventStreamResponse(Promise.reject(error))),
      error,
    );
    assertEquals(
      await assertRejects(() =>
        eventStreamResponse(() => {
          throw error;
        })
      ),
      error,
    );
    // A stream alone has no status.
    assertEquals(await assertRejects(() => read(eventStream(Promise.reject(error)))), error);
  });
}

Deno.test("what is no subscription is refused", async () => {
  for (const events of [undefined, null, "news", {}, [1]]) {
    const error = assertThrows(() => eventStream(events as never), TypeError);
    assert(error.message.startsWith("Cannot send events: they must be a subscription"));
  }
  const wrong = (() => Promise.resolve("news")) as unknown as () => Promise<Subscription>;
  await assertRejects(() => eventStreamResponse(wrong), TypeError, "they must be");
});

Deno.test("a client that leaves first: the call is aborted, its subscription is closed", async () => {
  await using broadcast = new Broadcast("memory://");
  for (const leave of [cancelled, aborted]) {
    let given: AbortSignal | undefined;
    const late = Promise.withResolvers<Subscription>();
    const stop = new AbortController();
    const stream = eventStream((signal) => {
      given = signal;
      return late.promise;
    }, { signal: stop.signal });
    await leave(stream, stop);
    assertEquals(given!.aborted, true);
    // One that does not heed the signal.
    const subscription = await broadcast.subscribe("news");
    late.resolve(subscription);
    await closed(subscription);
  }
});

Deno.test("a subscription that heeds the signal is never opened", async () => {
  await using broadcast = new Broadcast("memory://");
  let subscribing: Promise<Subscription> | undefined;
  const stream = eventStream((signal) => subscribing = broadcast.subscribe("news", { signal }));
  await stream.cancel();
  await assertRejects(() => subscribing!, DOMException);
});

Deno.test("a handler that awaits before it subscribes: a client that has left opens nothing", async () => {
  const left = AbortSignal.abort();
  let called = 0;
  const stream = eventStream((signal) => {
    called++;
    signal.throwIfAborted();
    return new Promise<Subscription>(() => {});
  }, { signal: left });
  await read(stream);
  assertEquals(called, 1);
});

/** Streams behind a subscription: what a handler may give in its place. */
const KINDS: Record<string, (subscription: Subscription) => ReadableStream<BroadcastEvent>> = {
  "as it is": (subscription) => subscription,
  "piped": (subscription) => subscription.pipeThrough(new TransformStream()),
  "piped twice": (subscription) =>
    subscription.pipeThrough(new TransformStream()).pipeThrough(new TransformStream()),
  "behind a filter that passes none": (subscription) =>
    subscription.pipeThrough(new TransformStream({ transform() {} })),
  "teed natively, behind a pipe": (subscription) => {
    const [one, other] = subscription.pipeThrough(new TransformStream()).tee();
    other.cancel().catch(() => {});
    return one;
  },
};

for (const [kind, make] of Object.entries(KINDS)) {
  for (const leave of [cancelled, aborted]) {
    Deno.test(`a subscription ${kind} is released at once when its stream is ${leave.name}`, async () => {
      await using broadcast = new Broadcast("memory://");
      const subscription = await broadcast.subscribe("news");
      const stop = new AbortController();
      const stream = eventStream(make(subscription), { signal: stop.signal });
      // A read that is under way, and that no event will end.
      const { pull } = pulled(stream);
      await leave(stream, stop, pull);
      await closed(subscription);
    });
  }
}

Deno.test("a subscription that a generator maps is released at once by its signal", async () => {
  await using broadcast = new Broadcast("memory://");
  const opened = Promise.withResolvers<Subscription>();
  const stream = eventStream(async (signal) => {
    const events = await broadcast.subscribe("news", { signal });
    opened.resolve(events);
    return ReadableStream.from(shouted(events));
  });
  const reader = stream.getReader();
  await reader.read();
  const pending = reader.read();
  const subscription = await opened.promise;
  await broadcast.publish("news", "hello");
  assertEquals(new TextDecoder().decode((await pending).value).includes("data: HELLO\n"), true);
  reader.read();
  await reader.cancel();
  await closed(subscription);
});

Deno.test("one branch of tee() is released, the other goes on", async () => {
  await using broadcast = new Broadcast("memory://");
  const [shown, logged] = (await broadcast.subscribe("news")).tee();
  await eventStream(shown).cancel();
  await closed(shown);
  await broadcast.publish("news", "hello");
  assertEquals((await logged.getReader().read()).value!.message, "hello");
});

Deno.test("one signal of many event streams has one listener, and none at the end", async () => {
  await using broadcast = new Broadcast("memory://");
  const { signal } = new AbortController();
  let listeners = 0;
  const { addEventListener, removeEventListener } = signal;
  signal.addEventListener = (...args: unknown[]) => {
    listeners++;
    addEventListener.apply(signal, args as never);
  };
  signal.removeEventListener = (...args: unknown[]) => {
    listeners--;
    removeEventListener.apply(signal, args as never);
  };
  const streams = await Promise.all(
    Array.from(
      { length: 20 },
      async () => eventStream(await broadcast.subscribe("news"), { signal }),
    ),
  );
  assertEquals(listeners, 1);
  for (const stream of streams) await stream.cancel();
  assertEquals(listeners, 0);
});

async function* shouted(events: AsyncIterable<BroadcastEvent>): AsyncGenerator<BroadcastEvent> {
  for await (const event of events) yield { ...event, message: event.message.toUpperCase() };
}

async function cancelled(stream: Bytes, _stop: AbortController, reader?: Reader): Promise<void> {
  await deadline(reader ? reader.cancel() : stream.cancel(), PATIENCE);
}

async function aborted(_stream: Bytes, stop: AbortController): Promise<void> {
  stop.abort();
  await Promise.resolve();
}

type Reader = ReadableStreamDefaultReader<Uint8Array>;

/** Reads the opening frame, and waits for an event. */
function pulled(stream: Bytes): { pull: Reader } {
  const pull = stream.getReader();
  pull.read();
  pull.read().catch(() => {});
  return { pull };
}

async function read(stream: Bytes): Promise<void> {
  for await (const _ of stream);
}

/** Resolves once a subscription has ended. */
async function closed(subscription: Subscription): Promise<void> {
  const end = Date.now() + PATIENCE;
  // Behind a pipe, the platform takes a few turns.
  do {
    assert(Date.now() < end, "the subscription is still open");
    await new Promise((resolve) => setTimeout(resolve, 0));
  } while (subscription.locked);
  const { done } = await subscription.getReader().read().catch(() => ({ done: true }));
  assertEquals(done, true);
}
