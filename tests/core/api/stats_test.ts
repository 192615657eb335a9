/** `stats()`: what has passed, and what waits, as numbers that add up. */

import { assert, assertEquals } from "@std/assert";
import {
  Broadcast,
  type BroadcastStats,
  type ChannelStats,
  type Subscription,
} from "../../../mod.ts";
import { controlOf } from "../../../core/api/control.ts";
import { messages, numbered, publishAll, take } from "../../conformance/harness.ts";
import { until } from "../../services/service.ts";

const WITHOUT_LOG = "memory://?history=0&linger=0&buffer=4";
const WITH_LOG = "memory://?linger=0&buffer=4";
const NO_GAPS = { disconnect: 0, overflow: 0, trimmed: 0, reset: 0, rollback: 0, unknown: 0 };

Deno.test("a broadcast that was not used has nothing but zeros, and no channels", async () => {
  await using broadcast = new Broadcast("memory://");
  const expected: BroadcastStats = {
    ...{ state: "idle", connections: 0, reconnects: 0, pending: 0, subscribers: 0, lag: 0 },
    ...{ published: 0, received: 0, delivered: 0, gaps: NO_GAPS, bufferedBytes: 0, channels: [] },
  };
  assertEquals(broadcast.stats(), expected);
  await broadcast.connect();
  assertEquals(broadcast.stats(), { ...expected, state: "connected" });
});

for (const url of [WITHOUT_LOG, WITH_LOG]) {
  const kind = url === WITH_LOG ? "with a log" : "without a log";

  Deno.test(`an event that two read was published once and delivered twice, ${kind}`, async () => {
    await using broadcast = new Broadcast(url);
    const both = [await broadcast.subscribe("c"), await broadcast.subscribe("c")];
    const waiting = Promise.all(both.map((one) => messages(one, 2)));
    await broadcast.publish("c", "one");
    await broadcast.publish("c", "four");
    await waiting;
    const numbers = { subscribers: 2, lag: 0, published: 2, received: 2, delivered: 4 };
    const expected = { ...numbers, gaps: NO_GAPS, bufferedBytes: 14 };
    assertEquals(channelOf(broadcast, "c"), { channel: "c", isPattern: false, ...expected });
    const { channels: _, ...all } = broadcast.stats();
    const connection = { state: "connected" as const, connections: 0, reconnects: 0, pending: 0 };
    assertEquals(all, { ...connection, ...expected });
  });

  Deno.test(`lag is what the slowest has still to read, ${kind}`, async () => {
    await using broadcast = new Broadcast(url);
    const [quick, slow] = [await broadcast.subscribe("c"), await broadcast.subscribe("c")];
    const [fine] = [await broadcast.subscribe("d")];
    await broadcast.publish("d", "x");
    for (const message of numbered(3)) await broadcast.publish("c", message);
    assertEquals(await messages(quick, 3), numbered(3));
    assertEquals([channelOf(broadcast, "c").lag, broadcast.stats().lag], [3, 3]);
    await take(slow, 1);
    assertEquals([channelOf(broadcast, "c").lag, channelOf(broadcast, "d").lag], [2, 1]);
    slow.close();
    assertEquals([channelOf(broadcast, "c").lag, broadcast.stats().lag], [0, 1]);
    fine.close();
  });

  Deno.test(`a reader behind the buffer counts every event that it has still to read, ${kind}`, async () => {
    await using broadcast = new Broadcast(url);
    const subscription = await broadcast.subscribe("c");
    await publishAll(broadcast, "c", numbered(10));
    await received(broadcast, 10);
    assertEquals(channelOf(broadcast, "c").lag, 10);
    const missed = url === WITH_LOG ? 0 : 6;
    assertEquals(await messages(subscription, 2), numbered(10).slice(missed, missed + 2));
    const { lag, delivered, gaps } = channelOf(broadcast, "c");
    assertEquals([lag, delivered], [8 - missed, 2]);
    assertEquals(gaps, { ...NO_GAPS, overflow: missed === 0 ? 0 : 1 });
    await take(subscription, 8 - missed);
    const after = channelOf(broadcast, "c");
    assertEquals([after.lag, after.delivered, after.received], [0, 10 - missed, 10]);
    // Live again, and still counting.
    await broadcast.publish("c", "live");
    assertEquals(await messages(subscription, 1), ["live"]);
    assertEquals(channelOf(broadcast, "c").delivered, 11 - missed);
  });

  Deno.test(`a channel's numbers go with it, the totals stay, ${kind}`, async () => {
    await using broadcast = new Broadcast(url);
    for (let round = 1; round <= 3; round++) {
      const subscription = await broadcast.subscribe("c");
      await broadcast.publish("c", "x");
      await take(subscription, 1);
      const { published, received, delivered } = channelOf(broadcast, "c");
      assertEquals([published, received, delivered], [1, 1, 1]);
      subscription.close();
      const isGone = () => broadcast.stats().channels.length === 0;
      await until(isGone, "the channel is closed");
      const all = broadcast.stats();
      assertEquals([all.published, all.received, all.delivered], [round, round, round]);
      assertEquals([all.subscribers, all.bufferedBytes], [0, 0]);
    }
  });

  Deno.test(`each branch of tee() counts, and the original no more, ${kind}`, async () => {
    await using broadcast = new Broadcast(url);
    const subscription = await broadcast.subscribe("c");
    await broadcast.publish("c", "one");
    await take(subscription, 1);
    await broadcast.publish("c", "two");
    const [left, right] = subscription.tee();
    const { subscribers, delivered, lag } = channelOf(broadcast, "c");
    assertEquals([subscribers, delivered, lag], [2, 1, 1]);
    await take(left, 1);
    assertEquals([channelOf(broadcast, "c").delivered, channelOf(broadcast, "c").lag], [2, 1]);
    await take(right, 1);
    assertEquals([channelOf(broadcast, "c").delivered, channelOf(broadcast, "c").lag], [3, 0]);
    left.close();
    assertEquals(channelOf(broadcast, "c").subscribers, 1);
    assertEquals(broadcast.stats().delivered, 3);
  });

  Deno.test(`what is read after disconnect() is counted, ${kind}`, async () => {
    const broadcast = new Broadcast(url);
    const subscription = await broadcast.subscribe("c");
    for (const message of numbered(3)) await broadcast.publish("c", message);
    await received(broadcast, 3);
    await broadcast.disconnect();
    assertEquals((await take(subscription, 4)).length, 3);
    const all = broadcast.stats();
    assertEquals([all.state, all.channels.length], ["closed", 0]);
    assertEquals([all.received, all.delivered], [3, 3]);
  });
}

for (const reader of ["for await", "getReader()"]) {
  Deno.test(`events of the log count as delivered, with ${reader}`, async () => {
    await using broadcast = new Broadcast(WITH_LOG);
    const ids: string[] = [];
    for (const message of numbered(10)) ids.push((await broadcast.publish("c", message))!);
    const late = await broadcast.subscribe("c", { history: 5 });
    const resumed = await broadcast.subscribe("c", { after: ids[2] });
    assertEquals(await read(late, 5, reader), numbered(10).slice(5));
    assertEquals(await read(resumed, 7, reader), numbered(10).slice(3));
    const before = channelOf(broadcast, "c");
    assertEquals([before.received, before.delivered, before.lag], [0, 12, 0]);
    // `published` counts with the channel, which nobody had subscribed to.
    assertEquals([before.published, broadcast.stats().published], [0, 10]);
    await broadcast.publish("c", "live");
    assertEquals(await read(late, 1, reader), ["live"]);
    assertEquals(await read(resumed, 1, reader), ["live"]);
    const { received, delivered, lag } = channelOf(broadcast, "c");
    assertEquals([received, delivered, lag], [1, 14, 0]);
  });
}

Deno.test("a reader of the log lags by what it is known to have before it", async () => {
  await using broadcast = new Broadcast("memory://");
  const first = await broadcast.publish("c", "first");
  await publishAll(broadcast, "c", numbered(5));
  const resumed = await broadcast.subscribe("c", { after: first! });
  await broadcast.publish("c", "live");
  // Its page has five events, and the buffer one that comes after them.
  assertEquals(await messages(resumed, 2), numbered(2));
  assert(channelOf(broadcast, "c").lag >= 3);
  assertEquals(await messages(resumed, 4), ["m2", "m3", "m4", "live"]);
  assertEquals(channelOf(broadcast, "c").lag, 0);
});

Deno.test("a subscription to several channels counts for each, with its history", async () => {
  await using broadcast = new Broadcast(WITH_LOG);
  await publishAll(broadcast, "c", numbered(2));
  await publishAll(broadcast, "d", numbered(3));
  const subscription = await broadcast.subscribe(["c", "d"], { history: 10 });
  assertEquals((await take(subscription, 5)).length, 5);
  assertEquals(broadcast.stats().subscribers, 2);
  assertEquals([channelOf(broadcast, "c").delivered, channelOf(broadcast, "d").delivered], [2, 3]);
  await broadcast.publish("d", "live");
  assertEquals(await messages(subscription, 1), ["live"]);
  assertEquals([channelOf(broadcast, "c").delivered, channelOf(broadcast, "d").delivered], [2, 4]);
  subscription.close();
  assertEquals(broadcast.stats().subscribers, 0);
});

Deno.test("a pattern has its own numbers, and its name may be that of a channel", async () => {
  await using broadcast = new Broadcast("memory://");
  const pattern = await broadcast.subscribe({ pattern: "room.*" });
  const [named, room] = [await broadcast.subscribe("room.*"), await broadcast.subscribe("room.1")];
  await broadcast.publish("room.1", "x");
  assertEquals(await messages(pattern, 1), ["x"]);
  assertEquals(await messages(room, 1), ["x"]);
  const found = broadcast.stats().channels.map((one) => [
    ...[one.channel, one.isPattern, one.subscribers],
    ...[one.published, one.received, one.delivered],
  ]);
  assertEquals(found.sort(), [
    ["room.*", false, 1, 0, 0, 0],
    ["room.*", true, 1, 0, 1, 1],
    ["room.1", false, 1, 1, 1, 1],
  ]);
  const { published, received, delivered } = broadcast.stats();
  assertEquals([published, received, delivered], [1, 2, 2]);
  for (const one of [pattern, named, room]) one.close();
});

Deno.test("gaps are counted as the broadcast reports them, by cause", async () => {
  await using broadcast = new Broadcast(WITHOUT_LOG);
  let reported = 0;
  broadcast.addEventListener("gap", () => reported++);
  const stranger = await broadcast.subscribe("c", { after: "of no channel" });
  const slow = await broadcast.subscribe("c");
  await publishAll(broadcast, "c", numbered(10));
  await received(broadcast, 10);
  await take(stranger, 1);
  await take(slow, 1);
  const expected = { ...NO_GAPS, unknown: 1, overflow: 2 };
  assertEquals([channelOf(broadcast, "c").gaps, broadcast.stats().gaps], [expected, expected]);
  assertEquals(reported, 3);
});

Deno.test("a message without an outcome is pending, also while it is encoded", async () => {
  const gate = Promise.withResolvers<string>();
  const codec = {
    name: "slow",
    encode: () => gate.promise,
    decode: (payload: string | Uint8Array) => String(payload),
  };
  await using broadcast = new Broadcast<Record<string, string>>("memory://", { codec });
  const first = broadcast.publish("c", "x");
  const second = broadcast.publish("c", "y");
  assertEquals([broadcast.stats().pending, broadcast.stats().published], [2, 0]);
  gate.resolve("encoded");
  await Promise.all([first, second]);
  assertEquals([broadcast.stats().pending, broadcast.stats().published], [0, 2]);
});

Deno.test("a message that was refused is not published", async () => {
  await using broadcast = new Broadcast("memory://");
  await broadcast.publish("c", "x").then(() => broadcast.publish("c", "\ud800")).catch(() => {});
  assertEquals([broadcast.stats().published, broadcast.stats().pending], [1, 0]);
});

Deno.test("what the library itself publishes on control channels is not counted", async () => {
  await using broadcast = new Broadcast("memory://");
  const control = await controlOf(broadcast).subscribe("c");
  await controlOf(broadcast).publish("c", "x");
  await take(control, 1);
  const { channels, published, received } = broadcast.stats();
  assertEquals([channels.length, published, received], [0, 0, 0]);
});

Deno.test("the numbers are a copy, and JSON", async () => {
  await using broadcast = new Broadcast("memory://");
  const subscription = await broadcast.subscribe("__proto__");
  const before = broadcast.stats();
  await broadcast.publish("__proto__", "x");
  await take(subscription, 1);
  assertEquals([before.published, before.channels[0]!.received], [0, 0]);
  const after = broadcast.stats();
  assertEquals(JSON.parse(JSON.stringify(after)), after);
  assertEquals(after.channels[0]!.channel, "__proto__");
});

/** A client passes half a buffer on, and then lets readers have their turn. */
async function received(broadcast: Broadcast, count: number): Promise<void> {
  const isHere = () => broadcast.stats().received === count;
  await until(isHere, `${count} events have arrived`);
}

function channelOf(broadcast: Broadcast, name: string): ChannelStats {
  const found = broadcast.stats().channels.find(({ channel }) => channel === name);
  assert(found, `no channel ${name}`);
  return found;
}

async function read(subscription: Subscription, count: number, how: string): Promise<unknown[]> {
  if (how === "for await") return await messages(subscription, count);
  const reader = subscription.getReader();
  const found: unknown[] = [];
  while (found.length < count) found.push((await reader.read()).value?.message);
  reader.releaseLock();
  return found;
}
