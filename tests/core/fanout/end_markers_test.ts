/** Channels that are ended: whoever comes to that place is done, live, late or resuming. */

import { assertEquals, assertRejects } from "@std/assert";
import { eventStream } from "../../../core/sse/mod.ts";
import { Broadcast, bytes, type Gap, GapError, type Subscription } from "../../../mod.ts";
import { messages, numbered, take } from "../../conformance/harness.ts";

const CHANNEL = "run.42";
const TOKENS = numbered(50);

Deno.test("closing a stream ends the channel: live, late and resuming readers are done", async () => {
  await using broadcast = new Broadcast("memory://");
  const live = rest(await broadcast.subscribe(CHANNEL));
  const source = ReadableStream.from(TOKENS);
  await source.pipeTo(broadcast.writable(CHANNEL, { end: true }));
  assertEquals(await live, TOKENS);
  assertEquals(await rest(await broadcast.subscribe(CHANNEL, { history: 100 })), TOKENS);
  const past = await broadcast.history(CHANNEL);
  assertEquals(past.map(({ message }) => message), TOKENS);
  for (const from of [0, 20, 49]) {
    const resumed = await broadcast.subscribe(CHANNEL, { after: past[from]!.id });
    assertEquals(await rest(resumed), TOKENS.slice(from + 1));
  }
});

Deno.test("a reader that lags, or fell behind the ring, comes to the end as well", async () => {
  await using broadcast = new Broadcast("memory://?buffer=8&history=1000");
  const [lagging, behind] = [
    await broadcast.subscribe(CHANNEL),
    await broadcast.subscribe(CHANNEL),
  ];
  await ReadableStream.from(numbered(5)).pipeTo(broadcast.writable(CHANNEL, { end: true }));
  assertEquals(await rest(lagging), numbered(5));
  await ReadableStream.from(numbered(100)).pipeTo(broadcast.writable(CHANNEL));
  assertEquals(await rest(behind), numbered(5));
});

Deno.test("who starts live behind an end waits for what is published next", async () => {
  await using broadcast = new Broadcast("memory://");
  await ReadableStream.from(["a"]).pipeTo(broadcast.writable(CHANNEL, { end: true }));
  const subscription = await broadcast.subscribe(CHANNEL);
  const keeps = await broadcast.subscribe(CHANNEL);
  await broadcast.publish(CHANNEL, "b");
  assertEquals(await messages(subscription, 1), ["b"]);
  // A channel may be ended again.
  await broadcast.writable(CHANNEL, { end: true }).close();
  assertEquals(await rest(keeps), ["b"]);
  assertEquals(await rest(subscription), []);
  assertEquals(await rest(await broadcast.subscribe(CHANNEL, { history: 10 })), ["a"]);
});

Deno.test("a subscription to several is done when all of them are, a pattern goes on", async () => {
  await using broadcast = new Broadcast("memory://");
  const all = rest(await broadcast.subscribe(["run.1", "run.2"]));
  const pattern = await broadcast.subscribe({ pattern: "run.*" });
  await ReadableStream.from(["a"]).pipeTo(broadcast.writable("run.1", { end: true }));
  await ReadableStream.from(["b"]).pipeTo(broadcast.writable("run.2", { end: true }));
  assertEquals((await all).sort(), ["a", "b"]);
  await broadcast.publish("run.3", "c");
  assertEquals(await messages(pattern, 3), ["a", "b", "c"]);
});

Deno.test("an event stream tells its client not to come back", async () => {
  await using broadcast = new Broadcast("memory://");
  const text = new Response(eventStream(await broadcast.subscribe(CHANNEL))).text();
  await ReadableStream.from(["a"]).pipeTo(broadcast.writable(CHANNEL, { end: true }));
  assertEquals((await text).split("\n\n").slice(-2), [
    "retry: 2147483647\nevent: end\ndata: end",
    "",
  ]);
  // Not if it is the server that goes.
  const other = new Broadcast("memory://");
  const ended = new Response(eventStream(await other.subscribe(CHANNEL))).text();
  await other.disconnect();
  assertEquals((await ended).includes("event: end"), false);
});

Deno.test("without a log there is nothing to end, and the stream says so", async () => {
  await using broadcast = new Broadcast("memory://?history=0");
  const writer = broadcast.writable(CHANNEL, { end: true }).getWriter();
  await assertRejects(
    () => writer.closed,
    TypeError,
    `Cannot end "${CHANNEL}": memory keeps no log with history=0`,
  );
  await assertRejects(() => writer.write("a"), TypeError);
  await broadcast.writable(CHANNEL).close();
});

Deno.test("bytes that would end a channel are refused", async () => {
  await using broadcast = new Broadcast("memory://", { codec: bytes() });
  await assertRejects(
    () => broadcast.publish(CHANNEL, Uint8Array.of(0xc1, 0x2e)),
    TypeError,
    `Cannot publish to "${CHANNEL}": these two bytes would end it`,
  );
});

Deno.test("a gap right before the end is told, where no event can carry it", async () => {
  await using broadcast = new Broadcast("memory://?history=3&buffer=2");
  const first = await broadcast.publish(CHANNEL, "first");
  await ReadableStream.from(numbered(5)).pipeTo(broadcast.writable(CHANNEL, { end: true }));
  // Of the three that the log still has, the end is one.
  await broadcast.writable(CHANNEL, { end: true }).close();
  await broadcast.writable(CHANNEL, { end: true }).close();
  const resume = { after: first! };
  const silent = await broadcast.subscribe(CHANNEL, resume);
  const error = await assertRejects(() => rest(silent), GapError);
  assertEquals(error.message, "Cannot continue to the end: events may be missing (trimmed)");
  assertEquals(error.gap, { cause: "trimmed", after: first!, missed: 5 });
  const gaps: unknown[] = [];
  const onGap = (gap: Gap) => void gaps.push(gap.cause);
  assertEquals(await rest(await broadcast.subscribe(CHANNEL, { ...resume, onGap })), []);
  assertEquals(gaps, ["trimmed"]);
  const several = await broadcast.subscribe([CHANNEL, `${CHANNEL}.b`], { onGap });
  await broadcast.writable(`${CHANNEL}.b`, { end: true }).close();
  await broadcast.writable(CHANNEL, { end: true }).close();
  assertEquals(await rest(several), []);
  const stream = eventStream(await broadcast.subscribe(CHANNEL, resume));
  const text = await new Response(stream).text();
  assertEquals(text.includes("event: gap") && text.endsWith("event: end\ndata: end\n\n"), true);
});

Deno.test("abort() ends nothing", async () => {
  await using broadcast = new Broadcast("memory://");
  const subscription = await broadcast.subscribe(CHANNEL);
  const writer = broadcast.writable(CHANNEL, { end: true }).getWriter();
  await writer.write("a");
  await writer.abort();
  await broadcast.publish(CHANNEL, "b");
  assertEquals((await take(subscription, 2)).map(({ message }) => message), ["a", "b"]);
});

/** All that comes until it is done. */
async function rest(subscription: Subscription<unknown>): Promise<unknown[]> {
  const all: unknown[] = [];
  for await (const { message, gap } of subscription) {
    assertEquals(gap, undefined);
    all.push(message);
  }
  return all;
}
