/**
 * Cases on history, and on the transition from history to live events.
 *
 * @module
 */

import assert from "node:assert/strict";
import {
  idsOf,
  messages,
  numbered,
  publishAll,
  type Suite,
  take,
  uniqueChannel,
} from "./harness.ts";

/** Registers the cases on history, or on its rejection if there is no log. */
export function replaying({ features, test }: Suite): void {
  if (!features.log) {
    test("history is refused, since there is no log", async ({ open, channel }) => {
      const broadcast = open();
      const refusal = {
        name: "TypeError",
        message: new RegExp(
          `^Cannot read history of "${channel}": [\\w-]+ keeps no log` +
            "( with history=0|, backends that do are [\\w-]+(, [\\w-]+)+)$",
        ),
      };
      await assert.rejects(broadcast.history(channel), refusal);
      await assert.rejects(broadcast.subscribe(channel, { history: 1 }), refusal);
    });
    return;
  }

  test("publish() resolves with the id of the event", async ({ open, channel }) => {
    const broadcast = open();
    const subscription = await broadcast.subscribe(channel);
    const id = await broadcast.publish(channel, "hello");
    const [event] = await take(subscription, 1);
    assert.equal(id, features.tellsNoPlace ? undefined : event!.id);
  });

  test("history starts with the most recent events, and goes on live", async ({ open, channel }) => {
    const broadcast = open();
    await publishAll(broadcast, channel, numbered(5));
    const subscription = await broadcast.subscribe(channel, { history: 3 });
    await broadcast.publish(channel, "live");
    const events = await take(subscription, 4);
    assert.deepEqual(events.map(({ message }) => message), ["m2", "m3", "m4", "live"]);
    assert.deepEqual(events.map(({ gap }) => gap), Array(4).fill(undefined));
  });

  test("history holds what it found, however late it is read", async ({ open, channel }) => {
    const broadcast = open();
    await publishAll(broadcast, channel, ["a", "b"]);
    const subscription = await broadcast.subscribe(channel, { history: 2 });
    await publishAll(broadcast, channel, ["c", "d"]);
    assert.deepEqual(await messages(subscription, 4), ["a", "b", "c", "d"]);
  });

  test("history of a channel that has none is live", async ({ open, channel }) => {
    const broadcast = open();
    const subscription = await broadcast.subscribe(channel, { history: 10 });
    await broadcast.publish(channel, "first");
    assert.deepEqual(await messages(subscription, 1), ["first"]);
    assert.deepEqual(await broadcast.history(uniqueChannel()), []);
  });

  test("history() pages back and forth through all of the log", async ({ open, channel }) => {
    const broadcast = open();
    await publishAll(broadcast, channel, numbered(25));
    const newest = await broadcast.history(channel, { limit: 10 });
    assert.deepEqual(newest.map(({ message }) => message), numbered(25).slice(15));
    const back: unknown[] = [];
    let before: string | undefined;
    for (;;) {
      const page = await broadcast.history(channel, { limit: 10, before });
      if (page.length === 0) break;
      back.unshift(...page.map(({ message }) => message));
      before = page[0]!.id;
    }
    assert.deepEqual(back, numbered(25));
    const forth: unknown[] = [];
    let after = before;
    for (;;) {
      const page = await broadcast.history(channel, { limit: 10, after });
      if (page.length === 0) break;
      forth.push(...page.map(({ message }) => message));
      after = page.at(-1)!.id;
    }
    assert.deepEqual(forth, numbered(25).slice(1));
    const middle = await broadcast.history(channel, {
      after: newest[0]!.id,
      before: newest[4]!.id,
    });
    assert.deepEqual(middle.map(({ message }) => message), ["m16", "m17", "m18"]);
  });

  test("history() has the events that subscribers receive", async ({ open, channel }) => {
    const broadcast = open();
    const subscription = await broadcast.subscribe(channel);
    await publishAll(broadcast, channel, numbered(5));
    assert.deepEqual(await broadcast.history(channel), await take(subscription, 5));
  });

  test("history() refuses what is no number of events and no id", async ({ open, channel }) => {
    const broadcast = open();
    for (const [limit, shown] of [[0, "0"], [1.5, "1.5"], [NaN, "NaN"]] as const) {
      await assert.rejects(broadcast.history(channel, { limit }), {
        name: "RangeError",
        message:
          `Cannot read history of "${channel}": it must be a whole number of at least 1, it is ${shown}`,
      });
    }
    await assert.rejects(broadcast.history(channel, { before: "yesterday" }), {
      name: "TypeError",
      message: `Cannot read history of "${channel}" from "yesterday": it is not an event id`,
    });
    const other = uniqueChannel();
    await broadcast.publish(other, "other");
    const [foreign] = await idsOf(broadcast, other);
    await assert.rejects(broadcast.history(channel, { after: foreign }), {
      name: "TypeError",
      message:
        `Cannot read history of "${channel}" from "${foreign}": it is an id of another channel or backend`,
    });
    await assert.rejects(broadcast.subscribe(channel, { history: -1 }), {
      name: "RangeError",
      message:
        `Cannot start with history of "${channel}": it must be a whole number of at least 0, it is -1`,
    });
  });

  test("an id of a tail that is closed resumes without loss", async ({ open, channel }) => {
    const broadcast = open({ linger: 0 });
    const first = await broadcast.subscribe(channel);
    await broadcast.publish(channel, "old");
    const [event] = await take(first, 1);
    first.close();
    await publishAll(broadcast, channel, numbered(3));
    const resumed = await broadcast.subscribe(channel, { after: event!.id });
    await broadcast.publish(channel, "new");
    const events = await take(resumed, 4);
    assert.deepEqual(events.map(({ message }) => message), ["m0", "m1", "m2", "new"]);
    assert.deepEqual(events.map(({ gap }) => gap), Array(4).fill(undefined));
  });

  if (features.crossProcess) {
    test("an id means the same to every process", async ({ open, channel }) => {
      const [one, other] = [open(), open()];
      const atOne = await one.subscribe(channel);
      await publishAll(other, channel, numbered(20));
      const events = await take(atOne, 20);
      const atOther = await other.subscribe(channel, { after: events[9]!.id });
      assert.deepEqual(await take(atOther, 10), events.slice(10));
    });
  }

  test("what the ring no longer holds comes from the log", async ({ open, channel }) => {
    const broadcast = open({ buffer: 16 });
    const first = await broadcast.subscribe(channel);
    await broadcast.publish(channel, "m");
    const [event] = await take(first, 1);
    const reading = messages(first, 100);
    await publishAll(broadcast, channel, numbered(100));
    await reading;
    const resumed = await broadcast.subscribe(channel, { after: event!.id });
    assert.deepEqual(await messages(resumed, 100), numbered(100));
  });

  test("a stalled subscriber delays nobody, and misses nothing", async ({ open, channel }) => {
    const broadcast = open({ buffer: 64 });
    const gaps: unknown[] = [];
    broadcast.addEventListener("gap", ({ gap }) => gaps.push(gap));
    const stalled = await broadcast.subscribe(channel);
    const reading = await broadcast.subscribe(channel);
    const received = messages(reading, 500);
    await publishAll(broadcast, channel, numbered(500));
    assert.deepEqual(await received, numbered(500));
    assert.deepEqual(await messages(stalled, 500), numbered(500));
    assert.deepEqual(gaps, []);
  });

  test("an undecodable event is skipped in the past as it is live", async ({ open, channel }) => {
    const broadcast = open({
      codec: {
        name: "picky",
        encode: (message) => String(message),
        decode: (payload) => {
          const text = typeof payload === "string" ? payload : new TextDecoder().decode(payload);
          if (text === "bad") throw new Error("bad");
          return text;
        },
      },
    });
    await publishAll(broadcast, channel, ["a", "bad", "b", "bad"]);
    const subscription = await broadcast.subscribe(channel, { history: 10 });
    const both = await broadcast.subscribe(channel, { history: 2 });
    await publishAll(broadcast, channel, ["bad", "c"]);
    assert.deepEqual(await messages(subscription, 3), ["a", "b", "c"]);
    assert.deepEqual(await messages(both, 3), ["a", "b", "c"]);
  });

  test("closing a subscription while it replays ends it at once", async ({ open, channel }) => {
    const broadcast = open({ linger: 0 });
    await publishAll(broadcast, channel, numbered(300));
    const [oldest] = await broadcast.history(channel, { limit: 300 });
    const subscription = await broadcast.subscribe(channel, { after: oldest!.id });
    const iterator = subscription.values();
    await iterator.next();
    const [next] = await Promise.all([iterator.next(), iterator.next()]);
    assert.equal(next.value?.message, "m2");
    subscription.close();
    assert.deepEqual(await iterator.next(), { done: true, value: undefined });
  });

  test("disconnect() ends a subscription that replays", async ({ open, channel }) => {
    const broadcast = open();
    await publishAll(broadcast, channel, numbered(300));
    const [oldest] = await broadcast.history(channel, { limit: 300 });
    const subscription = await broadcast.subscribe(channel, { after: oldest!.id });
    const reading = (async () => {
      let last: unknown;
      for await (const { message } of subscription) last = message;
      return last;
    })();
    await broadcast.disconnect();
    assert.match(String(await reading), /^(m\d+|undefined)$/);
  });
}
