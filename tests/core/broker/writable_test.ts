/** Streams of messages into a channel. */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { MemoryBackend } from "../../../backends/memory/log.ts";
import type { Backend, OutgoingPayload, Payload } from "../../../core/backend/contract.ts";
import { Broadcast, ClosedError, json, RefusedError } from "../../../mod.ts";
import { messages, numbered } from "../../conformance/harness.ts";

const CHANNEL = "run:42";

Deno.test("a stream is published in its order, however long it is", async () => {
  await using broadcast = new Broadcast("memory://?history=10000");
  const subscription = await broadcast.subscribe(CHANNEL);
  const written = ReadableStream.from(numbered(1_000)).pipeTo(broadcast.writable(CHANNEL));
  assertEquals(await messages(subscription, 1_000), numbered(1_000));
  await written;
  assertEquals((await broadcast.history(CHANNEL, { limit: 2_000 })).length, 1_000);
});

Deno.test("messages are what the codec takes", async () => {
  await using broadcast = new Broadcast<{ count: number }>("memory://", { codec: json() });
  const subscription = await broadcast.subscribe("count");
  const stream: WritableStream<number> = broadcast.writable("count");
  const writer = stream.getWriter();
  await writer.write(1);
  await writer.close();
  assertEquals(await messages(subscription, 1), [1]);
  // @ts-expect-error A count is a number.
  ((): WritableStream<string> => broadcast.writable("count"));
});

Deno.test("a source is slowed down by the broker, 64 messages ahead of it", async () => {
  const backend = new Slow();
  await using broadcast = new Broadcast(backend);
  let pulled = 0;
  const source = new ReadableStream<string>({
    pull(controller) {
      controller.enqueue(`${pulled++}`);
      if (pulled === 200) controller.close();
    },
  }, { highWaterMark: 0 });
  const written = source.pipeTo(broadcast.writable(CHANNEL));
  await backend.reached(64);
  // What is ahead: the stream's own queue holds one more, and the pipe another.
  await new Promise((resolve) => setTimeout(resolve, 0));
  assertEquals(backend.taken.length, 64);
  assertEquals(pulled <= 66, true);
  backend.open();
  await written;
  assertEquals(backend.taken, Array.from({ length: 200 }, (_, number) => `${number}`));
});

Deno.test("close() waits until all is accepted", async () => {
  const backend = new Slow();
  await using broadcast = new Broadcast(backend);
  const writer = broadcast.writable(CHANNEL).getWriter();
  await writer.write("a");
  let isClosed = false;
  const closed = writer.close().then(() => isClosed = true);
  await backend.reached(1);
  await new Promise((resolve) => setTimeout(resolve, 0));
  assertEquals(isClosed, false);
  backend.open();
  await closed;
});

Deno.test("what is refused errors the stream, and cancels its source", async () => {
  await using broadcast = new Broadcast(new Refusing());
  let reason: unknown;
  const source = new ReadableStream<string>({
    pull: (controller) => controller.enqueue("bad"),
    cancel: (given) => void (reason = given),
  });
  const error = await assertRejects(
    () => source.pipeTo(broadcast.writable(CHANNEL)),
    RefusedError,
    'Cannot publish to "run:42": it is full',
  );
  assertEquals(reason, error);
  const writer = broadcast.writable(CHANNEL).getWriter();
  const written = writer.write("bad");
  await assertRejects(() => writer.close(), RefusedError);
  await assertRejects(() => writer.closed, RefusedError);
  await written;
});

Deno.test("a message that cannot be encoded errors the stream", async () => {
  await using broadcast = new Broadcast("memory://");
  const writer = broadcast.writable(CHANNEL).getWriter();
  const closed = assertRejects(() => writer.closed, TypeError, "Cannot encode message as text");
  await writer.write(1 as never);
  await closed;
});

Deno.test("a signal errors the stream, before and while it is written", async () => {
  await using broadcast = new Broadcast("memory://");
  const aborted = AbortSignal.abort(new Error("too late"));
  assertThrows(() => broadcast.writable(CHANNEL, { signal: aborted }), Error, "too late");
  const controller = new AbortController();
  const writer = broadcast.writable(CHANNEL, { signal: controller.signal }).getWriter();
  await writer.write("one");
  const closed = assertRejects(() => writer.closed, Error, "enough");
  controller.abort(new Error("enough"));
  await closed;
  await assertRejects(() => writer.write("two"), Error, "enough");
  assertEquals((await broadcast.history(CHANNEL)).map(({ message }) => message), ["one"]);
});

Deno.test("abort() takes nothing back", async () => {
  await using broadcast = new Broadcast("memory://");
  const writer = broadcast.writable(CHANNEL).getWriter();
  await writer.write("one");
  await writer.abort(new Error("changed my mind"));
  assertEquals((await broadcast.history(CHANNEL)).map(({ message }) => message), ["one"]);
});

Deno.test("after disconnect() there is no stream, and an open one errors", async () => {
  const broadcast = new Broadcast("memory://");
  const writer = broadcast.writable(CHANNEL).getWriter();
  await writer.write("early");
  const closed = assertRejects(() => writer.closed, ClosedError);
  await broadcast.disconnect();
  await writer.write("late");
  await closed;
  assertThrows(() => broadcast.writable(CHANNEL), ClosedError);
  assertThrows(() => new Broadcast("memory://").writable(""), TypeError, "its name is empty");
});

/** Accepts nothing until it is opened. */
class Slow extends MemoryBackend implements Backend {
  readonly taken: Payload[] = [];
  #open!: () => void;
  readonly #opened = new Promise<void>((resolve) => this.#open = resolve);
  #awake: () => void = () => {};

  override publish(messages: readonly OutgoingPayload[]) {
    this.taken.push(...messages.map(({ payload }) => payload));
    this.#awake();
    return messages.map(() => this.#opened) as never;
  }

  open(): void {
    this.#open();
  }

  async reached(count: number): Promise<void> {
    while (this.taken.length < count) {
      await new Promise<void>((resolve) => this.#awake = resolve);
    }
  }
}

/** Accepts nothing at all. */
class Refusing extends MemoryBackend implements Backend {
  override publish(messages: readonly OutgoingPayload[]) {
    return messages.map(() => Promise.reject(new RefusedError("it is full"))) as never;
  }
}
