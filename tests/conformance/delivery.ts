/**
 * Cases on delivery and its order.
 *
 * @module
 */

import assert from "node:assert/strict";
import { alsoUsed, messages, numbered, type Suite, take, uniqueChannel } from "./harness.ts";
import { NAMES } from "./names.ts";

/** Registers the cases on delivery and order. */
export function delivery({ test, features, names = NAMES }: Suite): void {
  test("a subscriber gets the channel, the message and an id", async ({ open, channel }) => {
    const broadcast = open();
    const subscription = await broadcast.subscribe(channel);
    await broadcast.publish(channel, "hello");
    const [event] = await take(subscription, 1);
    assert.equal(event!.channel, channel);
    assert.equal(event!.message, "hello");
    assert.match(event!.id, /^[\w.~-]{1,1024}$/);
    assert.equal("gap" in event!, false);
  });

  test("what is published once subscribe() has resolved arrives", async ({ open }) => {
    const broadcast = open();
    for (let round = 0; round < 10; round++) {
      const channel = uniqueChannel();
      const subscription = await broadcast.subscribe(channel);
      await broadcast.publish(channel, `round ${round}`);
      assert.deepEqual(await messages(subscription, 1), [`round ${round}`]);
      subscription.close();
    }
  });

  test("every subscriber gets every event, with the same ids", async ({ open, channel }) => {
    const broadcast = open();
    const subscriptions = await Promise.all(
      Array.from({ length: 5 }, () => broadcast.subscribe(channel)),
    );
    for (const message of numbered(20)) await broadcast.publish(channel, message);
    const [first, ...others] = await Promise.all(subscriptions.map((one) => take(one, 20)));
    assert.deepEqual(first!.map(({ message }) => message), numbered(20));
    assert.equal(new Set(first!.map(({ id }) => id)).size, 20);
    for (const events of others) assert.deepEqual(events, first);
  });

  test("a publisher's order holds without awaiting", async ({ open, channel }) => {
    const broadcast = open();
    const subscription = await broadcast.subscribe(channel);
    const published = Promise.all(
      numbered(1_000).map((message) => broadcast.publish(channel, message)),
    );
    assert.deepEqual(await messages(subscription, 1_000), numbered(1_000));
    await published;
  });

  test("a publisher's order holds from the first use on", async ({ open, channel }) => {
    const listener = features.crossProcess ? open() : undefined;
    const publisher = open();
    const subscription = await (listener ?? publisher).subscribe(channel);
    await Promise.all(numbered(50).map((message) => publisher.publish(channel, message)));
    assert.deepEqual(await messages(subscription, 50), numbered(50));
  });

  test("concurrent publishers: the same order at all subscribers, or that of each", async ({ open, channel }) => {
    const one = open();
    const other = features.crossProcess ? open() : one;
    const subscriptions = await Promise.all([
      one.subscribe(channel),
      one.subscribe(channel),
      other.subscribe(channel),
    ]);
    const published = Promise.all([
      ...numbered(200, "a").map((message) => one.publish(channel, message)),
      ...numbered(200, "b").map((message) => other.publish(channel, message)),
    ]);
    const [first, ...others] = await Promise.all(
      subscriptions.map((subscription) => messages(subscription, 400)),
    );
    const from = (received: unknown[], publisher: string) =>
      received.filter((message) => String(message).startsWith(publisher));
    for (const received of [first!, ...others]) {
      if (!features.orderPerPublisher) assert.deepEqual(received, first);
      assert.deepEqual(from(received, "a"), numbered(200, "a"));
      assert.deepEqual(from(received, "b"), numbered(200, "b"));
    }
    await published;
  });

  test("5,000 events in one turn overflow no reader that reads", async ({ open, channel }) => {
    const broadcast = open();
    const subscription = await broadcast.subscribe(channel);
    const published = Promise.all(
      numbered(5_000).map((message) => broadcast.publish(channel, message)),
    );
    const events = await take(subscription, 5_000);
    assert.deepEqual(events.map(({ message }) => message), numbered(5_000));
    assert.equal(events.some(({ gap }) => gap), false);
    await published;
  });

  test("nothing crosses from one channel to another", async ({ open, channel }) => {
    const broadcast = open();
    const derived = names.map((name) => `${channel}${name}`);
    const all = [channel, `${channel}.sub`, `${channel}-sub`, channel.toUpperCase(), ...derived];
    const used = all.map(alsoUsed);
    // In an array, a star is known to be meant.
    const subscriptions = await Promise.all(used.map((name) => broadcast.subscribe([name])));
    await Promise.all(used.map((name) => broadcast.publish(name, `to ${name}`)));
    await Promise.all(used.map((name) => broadcast.publish(name, "end")));
    for (const [index, subscription] of subscriptions.entries()) {
      assert.deepEqual(await messages(subscription, 2), [`to ${used[index]}`, "end"]);
    }
  });

  test("many channels share a connection", async ({ open }) => {
    const broadcast = open();
    const names = Array.from({ length: 100 }, uniqueChannel);
    const subscriptions = await Promise.all(names.map((name) => broadcast.subscribe(name)));
    await Promise.all(names.map((name) => broadcast.publish(name, name)));
    const received = await Promise.all(subscriptions.map((one) => messages(one, 1)));
    assert.deepEqual(received.flat(), names);
  });

  test("a late subscriber gets nothing from before", async ({ open, channel }) => {
    const broadcast = open();
    const early = await broadcast.subscribe(channel);
    await broadcast.publish(channel, "before");
    assert.deepEqual(await messages(early, 1), ["before"]);
    const late = await broadcast.subscribe(channel);
    await broadcast.publish(channel, "after");
    assert.deepEqual(await messages(late, 1), ["after"]);
  });

  if (features.crossProcess) {
    test("two broadcasts hear each other", async ({ open, channel }) => {
      const [one, other] = [open(), open()];
      const [atOne, atOther] = await Promise.all([
        one.subscribe(channel),
        other.subscribe(channel),
      ]);
      await one.publish(channel, "from one");
      await other.publish(channel, "from other");
      assert.deepEqual(await messages(atOne, 2), ["from one", "from other"]);
      assert.deepEqual(await messages(atOther, 2), ["from one", "from other"]);
    });
  } else {
    test("two broadcasts share nothing", async ({ open, channel }) => {
      const [one, other] = [open(), open()];
      const [atOne, atOther] = await Promise.all([
        one.subscribe(channel),
        other.subscribe(channel),
      ]);
      await one.publish(channel, "from one");
      await other.publish(channel, "from other");
      assert.deepEqual(await messages(atOne, 1), ["from one"]);
      assert.deepEqual(await messages(atOther, 1), ["from other"]);
    });
  }

  // With a log, a stalled subscriber misses nothing.
  if (features.log) return;

  test("a stalled subscriber delays nobody, and is told what it missed", async ({ open, channel }) => {
    const broadcast = open({ buffer: 64 });
    const told: unknown[] = [];
    broadcast.addEventListener("gap", ({ channel, gap }) => told.push(channel, gap));
    const stalled = await broadcast.subscribe(channel);
    const reading = await broadcast.subscribe(channel);
    const received = messages(reading, 500);
    for (const message of numbered(500)) await broadcast.publish(channel, message);
    assert.deepEqual(await received, numbered(500));
    const [first, second] = await take(stalled, 2);
    assert.equal(first!.message, "m436");
    assert.equal(first!.gap!.cause, "overflow");
    assert.equal(first!.gap!.missed, 436);
    assert.deepEqual(told, [channel, first!.gap]);
    assert.equal(second!.message, "m437");
    assert.equal(second!.gap, undefined);
  });
}
