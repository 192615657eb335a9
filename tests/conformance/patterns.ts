/**
 * Cases on channel patterns.
 *
 * @module
 */

import assert from "node:assert/strict";
import { messages, numbered, type Suite, take, uniqueChannel } from "./harness.ts";
import { NAMES } from "./names.ts";

/** Registers the cases on patterns. */
export function patterns({ features, test, names = NAMES }: Suite): void {
  if (!features.patterns) {
    test("a pattern is refused at the call", async ({ open, channel }) => {
      const broadcast = open();
      await broadcast.connect();
      await assert.rejects(broadcast.subscribe({ pattern: `${channel}*` }), {
        name: "TypeError",
        message: new RegExp(
          `^Cannot subscribe to pattern "${channel}\\*": [\\w-]+ has no patterns, name the channels instead$`,
        ),
      });
    });
    return;
  }

  test("a pattern gets every channel that matches, and names it", async ({ open, channel }) => {
    const broadcast = open();
    const subscription = await broadcast.subscribe({ pattern: `${channel}.*` });
    const published = [`${channel}.a`, `${channel}.b.c`, `${channel}.`];
    for (const name of [channel, ...published, `x${channel}.a`, `${channel}-a`]) {
      await broadcast.publish(name, `to ${name}`);
    }
    await broadcast.publish(`${channel}.end`, "end");
    const events = await take(subscription, 4);
    // The broker decides the order between channels.
    assert.deepEqual(
      events.map(({ channel, message }) => `${channel}: ${message}`).sort(),
      [...published.map((name) => `${name}: to ${name}`), `${channel}.end: end`].sort(),
    );
    assert.equal(new Set(events.map(({ id }) => id)).size, 4);
  });

  test("a star stands for any run of characters, everything else for itself", async ({ open, channel }) => {
    const broadcast = open();
    const subscription = await broadcast.subscribe({ pattern: `${channel}.*.b*c` });
    const others = ["b.c", ".b.c.", "x.bc.d", "x.b"].map((rest) => `${channel}.${rest}`);
    const matching = [".bc", "x.bc", "x.y.b.c", "x.b.bcc"].map((rest) => `${channel}.${rest}`);
    for (const name of [...others, ...matching]) await broadcast.publish(name, name);
    assert.deepEqual((await messages(subscription, 4)).sort(), matching.sort());
  });

  test("a pattern without a star is the channel of that name", async ({ open, channel }) => {
    const broadcast = open();
    const subscription = await broadcast.subscribe({ pattern: channel });
    await broadcast.publish(`${channel}.not`, "not");
    await broadcast.publish(channel, "hello");
    const [event] = await take(subscription, 1);
    assert.deepEqual([event!.channel, event!.message], [channel, "hello"]);
  });

  test("an event reaches a channel and each pattern that match it once", async ({ open, channel }) => {
    const broadcast = open();
    const subscriptions = await Promise.all([
      broadcast.subscribe(`${channel}.a`),
      broadcast.subscribe({ pattern: `${channel}.a` }),
      broadcast.subscribe({ pattern: `${channel}.*` }),
      broadcast.subscribe({ pattern: `${channel}*a` }),
      broadcast.subscribe({ pattern: `${channel}.*` }),
    ]);
    for (const message of numbered(20)) await broadcast.publish(`${channel}.a`, message);
    for (const subscription of subscriptions) {
      assert.deepEqual(await messages(subscription, 20), numbered(20));
    }
  });

  test("a pattern that was left can be subscribed to again", async ({ open, channel }) => {
    const broadcast = open({ linger: 0 });
    const pattern = `${channel}*`;
    for (const message of numbered(5)) {
      const subscription = await broadcast.subscribe({ pattern });
      await broadcast.publish(channel, message);
      assert.deepEqual(await messages(subscription, 1), [message]);
      subscription.close();
    }
  });

  test("a pattern keeps each publisher's order, in one turn", async ({ open, channel }) => {
    const broadcast = open();
    const subscription = await broadcast.subscribe({ pattern: `${channel}.*` });
    const published = Promise.all(
      numbered(600).map((message, index) => broadcast.publish(`${channel}.${index % 3}`, message)),
    );
    const events = await take(subscription, 600);
    for (let index = 0; index < 3; index++) {
      assert.deepEqual(
        events.filter(({ channel: name }) => name === `${channel}.${index}`)
          .map(({ message }) => message),
        numbered(600).filter((_, number) => number % 3 === index),
      );
    }
    await published;
  });

  if (features.crossProcess) {
    test("a pattern hears other processes", async ({ open, channel }) => {
      const [one, other] = [open(), open()];
      const subscription = await one.subscribe({ pattern: `${channel}.*` });
      await other.publish(`${channel}.new`, "hello");
      const [event] = await take(subscription, 1);
      assert.deepEqual([event!.channel, event!.message], [`${channel}.new`, "hello"]);
    });
  }

  test("weird names never cross over, nor act as wildcards", async ({ open, channel }) => {
    const broadcast = open();
    const channels = names.map((name) => `${channel}${name}`);
    const all = await broadcast.subscribe({ pattern: `${channel}*` });
    // In an array, a star is known to be meant.
    const exact = await Promise.all(channels.map((name) => broadcast.subscribe([name])));
    const matching = await Promise.all(
      channels.map((pattern) => broadcast.subscribe({ pattern: `${pattern}*end` })),
    );
    for (const name of channels) {
      await broadcast.publish(name, name);
      await broadcast.publish(`${name}-end`, `${name}-end`);
    }
    for (const [index, name] of channels.entries()) {
      assert.deepEqual(await messages(exact[index]!, 1), [name]);
      const ends = channels.filter((other) => !name.includes("*") && other.startsWith(name));
      if (!name.includes("*")) {
        assert.deepEqual(
          (await messages(matching[index]!, ends.length)).sort(),
          ends.map((other) => `${other}-end`).sort(),
        );
      }
    }
    const received = (await take(all, channels.length * 2)).map(({ channel }) => channel);
    assert.deepEqual(received.sort(), channels.flatMap((name) => [name, `${name}-end`]).sort());
  });

  if (!features.patternLog) {
    test("a pattern has no history, and resumes while its tail lingers", async ({ open, channel }) => {
      const broadcast = open();
      const pattern = `${channel}*`;
      const first = await broadcast.subscribe({ pattern });
      await broadcast.publish(channel, "one");
      const [event] = await take(first, 1);
      await assert.rejects(broadcast.subscribe({ pattern }, { history: 1 }), {
        name: "TypeError",
        message: new RegExp(
          `^Cannot read history of pattern "${channel}\\*": on [\\w-]+ no position covers all channels of a pattern, name the channels instead$`,
        ),
      });
      first.close();
      const lost = await broadcast.subscribe({ pattern }, { after: "no id" });
      await broadcast.publish(channel, "two");
      const resumed = await broadcast.subscribe({ pattern }, { after: event!.id });
      for (
        const [subscription, gap] of [[lost, { cause: "unknown" }], [resumed, undefined]] as const
      ) {
        const [next] = await take(subscription, 1);
        assert.deepEqual([next!.message, next!.gap], ["two", gap]);
      }
    });
    return;
  }

  test("a pattern starts with the newest events of all its channels", async ({ open, channel }) => {
    const broadcast = open();
    for (const message of numbered(9)) {
      await broadcast.publish(`${channel}.${message}`, message);
      await broadcast.publish(uniqueChannel(), "other");
    }
    const subscription = await broadcast.subscribe({ pattern: `${channel}.*` }, { history: 5 });
    await broadcast.publish(`${channel}.live`, "live");
    assert.deepEqual(await messages(subscription, 6), [...numbered(9).slice(4), "live"]);
  });

  test("a pattern resumes after an id of its own", async ({ open, channel }) => {
    const broadcast = open({ linger: 0 });
    const pattern = `${channel}.*`;
    const first = await broadcast.subscribe({ pattern });
    for (const message of numbered(6)) await broadcast.publish(`${channel}.${message}`, message);
    const events = await take(first, 3);
    first.close();
    const resumed = await broadcast.subscribe({ pattern }, { after: events[2]!.id });
    await broadcast.publish(`${channel}.live`, "live");
    const rest = await take(resumed, 4);
    assert.deepEqual(rest.map(({ message }) => message), ["m3", "m4", "m5", "live"]);
    assert.equal(rest.some(({ gap }) => gap), false);
    const options = { after: events[2]!.id, history: 1 };
    const other = await broadcast.subscribe({ pattern: `${channel}*` }, options);
    const [newest] = await take(other, 1);
    assert.deepEqual([newest!.message, newest!.gap], ["live", { cause: "unknown" }]);
  });

  test("a pattern's reader that falls behind the ring loses nothing", async ({ open, channel }) => {
    const broadcast = open({ buffer: 16 });
    const stalled = await broadcast.subscribe({ pattern: `${channel}.*` });
    for (const message of numbered(200)) {
      await broadcast.publish(`${channel}.${message.length}`, message);
    }
    const events = await take(stalled, 200);
    assert.deepEqual(events.map(({ message }) => message), numbered(200));
    assert.equal(events.some(({ gap }) => gap), false);
  });
}
