/**
 * Cases on `stats()` and `health()`.
 *
 * @module
 */

import assert from "node:assert/strict";
import { numbered, publishAll, type Suite, take } from "./harness.ts";

/** Registers the cases on numbers and health. */
export function numbers({ test, features }: Suite): void {
  test("what was published, received and delivered is counted", async ({ open, channel }) => {
    const broadcast = open({ linger: 0 });
    const subscriptions = [await broadcast.subscribe(channel), await broadcast.subscribe(channel)];
    await publishAll(broadcast, channel, numbered(10));
    for (const subscription of subscriptions) await take(subscription, 10);
    const { channels, connections, ...all } = broadcast.stats();
    assert.deepEqual(channels.map((one) => one.channel), [channel]);
    for (const { subscribers, lag, published, received, delivered } of [channels[0]!, all]) {
      assert.deepEqual([subscribers, lag, published], [2, 0, 10]);
      assert.deepEqual([received, delivered], [10, 20]);
    }
    assert.deepEqual([all.state, all.reconnects, all.pending], ["connected", 0, 0]);
    assert.ok(connections === undefined || connections >= 0);
  });

  if (features.log) {
    test("what is read from the log is delivered, and not received", async ({ open, channel }) => {
      const broadcast = open();
      await publishAll(broadcast, channel, numbered(10));
      const subscription = await broadcast.subscribe(channel, { history: 5 });
      await take(subscription, 5);
      const { received, delivered, published } = broadcast.stats();
      assert.deepEqual([received, delivered, published], [0, 5, 10]);
    });
  }

  test("a broker that answers is healthy, and a broadcast that is closed is not", async ({ open }) => {
    const broadcast = open();
    const { ok, state, since } = await broadcast.health();
    assert.deepEqual([ok, state], [true, "connected"]);
    assert.ok(Math.abs(Date.now() - since) < 60_000);
    await broadcast.disconnect();
    assert.equal((await broadcast.health()).ok, false);
  });
}
