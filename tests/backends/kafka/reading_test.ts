/** Subscribers, while channels come and go. */

import { assert, assertEquals } from "@std/assert";
import { KafkaBackend } from "../../../backends/kafka/log.ts";
import { Address } from "../../../core/backend/address.ts";
import type { Item } from "../../../core/backend/contract.ts";
import { Broadcast, type Gap } from "../../../mod.ts";
import { messages, numbered, take, uniqueChannel, within } from "../../conformance/harness.ts";
import { withBroker } from "../../services/broker.ts";
import { brief, payloadOf, placeOf, publish, TailReader } from "./logs.ts";
import { registrar } from "./outsider.ts";

/** Cases on reading. */
function reading(url: string): void {
  const test = registrar(url);

  test("two broadcasts and two subscribers each get everything, in no group", async (outsider) => {
    const admin = await outsider.admin();
    const groups = async () => (await admin.listGroups()).groups.map(({ groupId }) => groupId);
    const before = await groups();
    const channel = await outsider.topic(3);
    await using one = new Broadcast(url);
    await using other = new Broadcast(url);
    const subscriptions = await Promise.all(
      [one, one, other].map((broadcast) => broadcast.subscribe(channel)),
    );
    await Promise.all(
      numbered(30).map((value, index) =>
        index % 3 === 0
          ? one.publish(channel, value)
          : outsider.publish(channel, [{ value, partition: index % 3 }])
      ),
    );
    for (const subscription of subscriptions) {
      assertEquals((await messages(subscription, 30)).toSorted(), numbered(30).toSorted());
    }
    assertEquals(await groups(), before);
  });

  test("a new channel is ready before a consumer group would be, and an existing one", async (outsider) => {
    const topics = [uniqueChannel(), await outsider.topic(1), await outsider.topic(3)];
    await using broadcast = new Broadcast(url);
    // Fetches that are under way must not hold up a channel that joins.
    await broadcast.subscribe(uniqueChannel());
    for (const topic of topics) {
      const start = performance.now();
      await broadcast.subscribe(topic);
      const elapsed = performance.now() - start;
      // A group takes three seconds.
      assert(elapsed < 2_500, `${topic} took ${elapsed} ms`);
    }
  });

  test("what others publish right after subscribe() is never missed", async (outsider) => {
    await using listener = new Broadcast(`${url}?linger=0`);
    await using publisher = new Broadcast(url);
    const existing = await outsider.topic(3);
    for (let round = 0; round < 20; round++) {
      const channel = round % 2 ? existing : uniqueChannel();
      const subscription = await listener.subscribe(channel);
      await publisher.publish(channel, `round ${round}`);
      assertEquals(await messages(subscription, 1), [`round ${round}`]);
      subscription.close();
    }
  });

  test("channels that come and go cost a busy one nothing", async () => {
    await using broadcast = new Broadcast(`${url}?linger=0`);
    await using publisher = new Broadcast(url);
    const busy = uniqueChannel();
    const gaps: Gap[] = [];
    const subscription = await broadcast.subscribe(busy, { onGap: (gap) => gaps.push(gap) });
    let churning = true;
    let sent = 0;
    const publishing = (async () => {
      while (churning) await publisher.publish(busy, `m${sent++}`);
      await publisher.publish(busy, "end");
    })();
    const received: unknown[] = [];
    const reading = (async () => {
      for await (const { message } of subscription) {
        if (message === "end") break;
        received.push(message);
      }
    })();
    const existing = numbered(4).map(uniqueChannel);
    for (let round = 0; round < 10; round++) {
      const fresh = uniqueChannel();
      const passing = await Promise.all(
        [...existing, fresh].map((channel) => broadcast.subscribe(channel)),
      );
      await publisher.publish(fresh, "hello");
      assertEquals(await messages(passing.at(-1)!, 1), ["hello"]);
      for (const one of passing) one.close();
    }
    churning = false;
    await publishing;
    await reading;
    assert(sent > 50, `only ${sent} were published`);
    assertEquals(received, numbered(sent));
    assertEquals(gaps, []);
  });

  test("disconnect() after an event that has just arrived hangs nobody", async () => {
    for (let round = 0; round < 10; round++) {
      const broadcast = new Broadcast(url);
      const channel = uniqueChannel();
      const subscription = await broadcast.subscribe(channel);
      await broadcast.publish(channel, "hello");
      assertEquals(await messages(subscription, 1), ["hello"]);
      await within(broadcast.disconnect(), 2_000);
      assertEquals(await messages(subscription, 1), []);
    }
  });

  test("close() after an event that has just arrived ends the fetches", async () => {
    await using broadcast = new Broadcast(`${url}?linger=0`);
    for (let round = 0; round < 5; round++) {
      const channel = uniqueChannel();
      const subscription = await broadcast.subscribe(channel);
      await broadcast.publish(channel, "hello");
      assertEquals(await messages(subscription, 1), ["hello"]);
      subscription.close();
    }
    const channel = uniqueChannel();
    const subscription = await broadcast.subscribe(channel);
    await broadcast.publish(channel, "still here");
    assertEquals(await messages(subscription, 1), ["still here"]);
  });

  test("what a tail has no room for waits on the broker", async () => {
    const { backend, channel } = await pile(url);
    const tail = await backend.tail(channel);
    const block = new Uint8Array(900_000);
    for (let count = 0; count < 20; count++) {
      await publish(backend, channel, [block.fill(count)]);
    }
    const items = await new TailReader(tail).take(20);
    const received = items.map((item) => {
      const payload = payloadOf(item) as Uint8Array;
      assertEquals(payload.length, block.length);
      return payload[0];
    });
    assertEquals(received, Array.from({ length: 20 }, (_, count) => count));
    await backend.close();
  });

  test("what is deleted before a slow reader read it is a gap, and it goes on", async (outsider) => {
    const { backend, channel } = await pile(url);
    const tail = await backend.tail(channel);
    const block = new Uint8Array(900_000);
    for (let count = 0; count < 20; count++) await publish(backend, channel, [block]);
    assertEquals(await outsider.counts(channel), [20]);
    const admin = await outsider.admin();
    await admin.deleteTopicRecords({
      topic: channel,
      partitions: [{ partition: 0, offset: "18" }],
    });
    const items: Item[] = [];
    const reader = new TailReader(tail);
    while (items.map(placeOf).at(-1)?.at !== 19) items.push(...await reader.turn());
    const told = items.findIndex(({ kind }) => kind === "break");
    assert(told >= 4 && told < 18, `${told} had room`);
    assertEquals(brief(items[told]!), "!unknown of 19");
    assertEquals(items.map((item) => placeOf(item)?.at), [
      ...items.slice(0, told).map((_, offset) => offset),
      undefined,
      17,
      18,
      19,
    ]);
    assertEquals(items.map((item) => payloadOf(item)?.length).slice(told), [
      ...[undefined, undefined],
      ...[block.length, block.length],
    ]);
    await backend.close();
  });

  test("a tail that nobody reads holds up no other", async () => {
    const { backend, channel } = await pile(url);
    await backend.tail(channel);
    const block = new Uint8Array(900_000);
    for (let count = 0; count < 10; count++) await publish(backend, channel, [block]);
    const other = uniqueChannel();
    const tail = await backend.tail(other);
    await publish(backend, other, ["hello"]);
    assertEquals(await new TailReader(tail).briefs(1), ["hello"]);
    await backend.close();
  });

  test("a subscription that goes on after its neighbour left has no gap", async () => {
    await using broadcast = new Broadcast(`${url}?linger=0`);
    const [kept, left] = [uniqueChannel(), uniqueChannel()];
    const keeping = await broadcast.subscribe(kept);
    const leaving = await broadcast.subscribe(left);
    await broadcast.publish(kept, "before");
    leaving.close();
    await broadcast.publish(kept, "between");
    const again = await broadcast.subscribe(left);
    await broadcast.publish(kept, "after");
    await broadcast.publish(left, "back");
    const events = await take(keeping, 3);
    assertEquals(events.map(({ message, gap }) => [message, gap]), [
      ["before", undefined],
      ["between", undefined],
      ["after", undefined],
    ]);
    assertEquals(await messages(again, 1), ["back"]);
  });
}

async function pile(url: string): Promise<{ backend: KafkaBackend; channel: string }> {
  const backend = new KafkaBackend(new Address(url));
  await backend.connect();
  return { backend, channel: uniqueChannel() };
}

withBroker("kafka", reading);
