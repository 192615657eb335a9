/**
 * Cases on subscribing and unsubscribing, concurrently and in any order.
 *
 * @module
 */

import assert from "node:assert/strict";
import { messages, numbered, type Suite, take, uniqueChannel } from "./harness.ts";

/** Registers the cases on subscribing and unsubscribing. */
export function lifecycle({ test }: Suite): void {
  test("two first subscribers at once both get everything", async ({ open, channel }) => {
    const broadcast = open();
    const [one, other] = await Promise.all([
      broadcast.subscribe(channel),
      broadcast.subscribe(channel),
    ]);
    await broadcast.publish(channel, "hello");
    assert.deepEqual(await messages(one, 1), ["hello"]);
    assert.deepEqual(await messages(other, 1), ["hello"]);
  });

  test("a subscriber that comes while the last one leaves is not deaf", async ({ open, channel }) => {
    const broadcast = open({ linger: 0 });
    let last = await broadcast.subscribe(channel);
    for (const message of numbered(20)) {
      last.close();
      last = await broadcast.subscribe(channel);
      await broadcast.publish(channel, message);
      assert.deepEqual(await messages(last, 1), [message]);
    }
  });

  test("a channel that was left can be subscribed to again", async ({ open, channel }) => {
    const broadcast = open({ linger: 0 });
    const first = await broadcast.subscribe(channel);
    first.close();
    const other = uniqueChannel();
    const elsewhere = await broadcast.subscribe(other);
    const again = await broadcast.subscribe(channel);
    await broadcast.publish(channel, "again");
    await broadcast.publish(other, "elsewhere");
    assert.deepEqual(await messages(again, 1), ["again"]);
    assert.deepEqual(await messages(elsewhere, 1), ["elsewhere"]);
  });

  test("leaving one channel leaves the others alone", async ({ open, channel }) => {
    const broadcast = open({ linger: 0 });
    const staying = await broadcast.subscribe(channel);
    const received = messages(staying, 50);
    for (const message of numbered(50)) {
      const passing = await broadcast.subscribe(uniqueChannel());
      passing.close();
      await broadcast.publish(channel, message);
    }
    assert.deepEqual(await received, numbered(50));
  });

  test("channels are subscribed to, left and published to at once", async ({ open }) => {
    const broadcast = open({ linger: 0 });
    await Promise.all(Array.from({ length: 20 }, async (_, number) => {
      const name = uniqueChannel();
      for (let round = 0; round < 3; round++) {
        const subscription = await broadcast.subscribe(name);
        await broadcast.publish(name, `${number}.${round}`);
        assert.deepEqual(await messages(subscription, 1), [`${number}.${round}`]);
        subscription.close();
      }
    }));
  });

  test("break releases the channel and ends the subscription", async ({ open, channel }) => {
    const broadcast = open({ linger: 0 });
    const staying = await broadcast.subscribe(channel);
    const leaving = await broadcast.subscribe(channel);
    await broadcast.publish(channel, "one");
    for await (const event of leaving) {
      assert.equal(event.message, "one");
      break;
    }
    assert.equal(leaving.locked, false);
    assert.deepEqual(await leaving.getReader().read(), { done: true, value: undefined });
    await broadcast.publish(channel, "two");
    assert.deepEqual(await messages(staying, 2), ["one", "two"]);
  });

  test("an exception in the loop releases the channel", async ({ open, channel }) => {
    const broadcast = open({ linger: 0 });
    const subscription = await broadcast.subscribe(channel);
    await broadcast.publish(channel, "one");
    await assert.rejects(async () => {
      for await (const _ of subscription) throw new Error("boom");
    }, { message: "boom" });
    assert.equal(subscription.locked, false);
    const again = await broadcast.subscribe(channel);
    await broadcast.publish(channel, "two");
    assert.deepEqual(await messages(again, 1), ["two"]);
  });

  test("close() ends a reader that waits, whatever kind it is", async ({ open, channel }) => {
    const broadcast = open();
    const [looped, read] = [await broadcast.subscribe(channel), await broadcast.subscribe(channel)];
    const loop = (async () => {
      for await (const _ of looped) assert.fail("nothing was published");
    })();
    const reading = read.getReader().read();
    looped.close();
    read.close();
    read.close();
    await loop;
    assert.deepEqual(await reading, { done: true, value: undefined });
  });

  test("tee() gives two subscriptions, each at its own pace", async ({ open, channel }) => {
    const broadcast = open({ linger: 0 });
    const subscription = await broadcast.subscribe(channel);
    await broadcast.publish(channel, "m0");
    assert.deepEqual(await messages(subscription, 1), ["m0"]);
    const [ahead, later] = subscription.tee();
    assert.equal(subscription.locked, true);
    assert.throws(() => subscription.tee(), TypeError);
    for (const message of numbered(20).slice(1)) await broadcast.publish(channel, message);
    const first = await take(ahead, 19);
    assert.deepEqual(first.map(({ message }) => message), numbered(20).slice(1));
    assert.deepEqual(await take(later, 19), first);
    ahead.close();
    await broadcast.publish(channel, "alone");
    assert.deepEqual(await messages(later, 1), ["alone"]);
    const reading = take(later, 1);
    subscription.close();
    assert.deepEqual(await reading, []);
    const again = await broadcast.subscribe(channel);
    await broadcast.publish(channel, "again");
    assert.deepEqual(await messages(again, 1), ["again"]);
  });

  test("tee() splits several channels, and both come to the same id", async ({ open, channel }) => {
    const broadcast = open();
    const other = uniqueChannel();
    const subscription = await broadcast.subscribe([channel, other]);
    const branches = subscription.tee();
    for (const message of numbered(10)) {
      await broadcast.publish(channel, message);
      await broadcast.publish(other, message);
    }
    const ids: string[] = [];
    for (const branch of branches) {
      const events = await take(branch, 20);
      for (const name of [channel, other]) {
        const own = events.filter((event) => event.channel === name);
        assert.deepEqual(own.map(({ message }) => message), numbered(10));
      }
      assert.equal(events.some(({ gap }) => gap), false);
      ids.push(events.at(-1)!.id);
    }
    subscription.close();
    for (const after of ids) {
      const resumed = await broadcast.subscribe([channel, other], { after });
      await broadcast.publish(channel, after);
      assert.equal((await messages(resumed, ids.indexOf(after) + 1)).at(-1), after);
      resumed.close();
    }
  });

  test("an aborted signal ends the call, and later the subscription", async ({ open, channel }) => {
    const broadcast = open();
    const reason = new Error("enough");
    const signal = AbortSignal.abort(reason);
    await assert.rejects(broadcast.connect({ signal }), reason);
    await assert.rejects(broadcast.subscribe(channel, { signal }), reason);
    await assert.rejects(broadcast.publish(channel, "never", { signal }), reason);
    const during = new AbortController();
    const pending = broadcast.subscribe(channel, { signal: during.signal });
    during.abort(reason);
    await assert.rejects(pending, reason);
    const later = new AbortController();
    const subscription = await broadcast.subscribe(channel, { signal: later.signal });
    const reading = take(subscription, 1);
    later.abort(reason);
    await assert.rejects(reading, reason);
    const next = await broadcast.subscribe(channel);
    await broadcast.publish(channel, "next");
    assert.deepEqual(await messages(next, 1), ["next"]);
  });
}
