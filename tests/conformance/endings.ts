/**
 * Disconnecting: how a broadcast ends.
 *
 * @module
 */

import assert from "node:assert/strict";
import { alsoUsed, messages, numbered, type Suite, take } from "./harness.ts";

const CLOSED = {
  name: "ClosedError",
  message: "Cannot use broadcast: it is disconnected, make a new one",
};

/** Cases on disconnect(). */
export function endings({ test }: Suite): void {
  test("disconnect() ends every subscription behind what has arrived", async ({ open, channel }) => {
    const broadcast = open();
    const waiting = await broadcast.subscribe(channel);
    const lagging = await broadcast.subscribe(channel);
    const read = await broadcast.subscribe(channel);
    await broadcast.publish(channel, "one");
    assert.deepEqual(await messages(waiting, 1), ["one"]);
    const rest = messages(waiting, 1);
    const reader = read.getReader();
    assert.equal((await reader.read()).value?.message, "one");
    const reading = reader.read();
    await broadcast.disconnect();
    assert.deepEqual(await rest, []);
    assert.deepEqual(await messages(lagging, 2), ["one"]);
    assert.deepEqual(await reading, { done: true, value: undefined });
    assert.equal(lagging.locked, false);
  });

  test("disconnect() is idempotent, also at once and before any use", async ({ open, channel }) => {
    const unused = open();
    await Promise.all([unused.disconnect(), unused.disconnect()]);
    const used = open();
    await used.subscribe(channel);
    await Promise.all([used.disconnect(), used.disconnect()]);
    await used.disconnect();
    assert.equal(used.state, "closed");
  });

  test("after disconnect() every call rejects", async ({ open, channel }) => {
    const broadcast = open();
    await broadcast.connect();
    await broadcast.disconnect();
    await assert.rejects(broadcast.connect(), CLOSED);
    await assert.rejects(broadcast.subscribe(channel), CLOSED);
    await assert.rejects(broadcast.publish(channel, "late"), CLOSED);
  });

  test("disconnect() while connecting and subscribing hangs nobody", async ({ open, channel }) => {
    for (let round = 0; round < 5; round++) {
      const broadcast = open();
      if (round % 2) await broadcast.connect();
      const calls = [
        broadcast.connect(),
        broadcast.subscribe(channel),
        broadcast.subscribe(channel),
        broadcast.subscribe(alsoUsed(`${channel}-other`)),
      ];
      for (let turn = 0; turn < round; turn++) await Promise.resolve();
      const ended = broadcast.disconnect();
      for (const outcome of await Promise.allSettled(calls)) {
        if (outcome.status === "rejected") assert.equal(outcome.reason.name, "ClosedError");
        else if (outcome.value) assert.deepEqual(await take(outcome.value, 1), []);
      }
      await ended;
    }
  });

  test("disconnect() waits for what was accepted for publishing", async ({ open, channel }) => {
    const broadcast = open();
    const subscription = await broadcast.subscribe(channel);
    const received = messages(subscription, 100);
    const published = Promise.all(numbered(100).map((one) => broadcast.publish(channel, one)));
    await broadcast.disconnect();
    await published;
    // They were accepted; what had not come back yet when the subscription ended is not in it.
    assert.deepEqual(await received, numbered(100).slice(0, (await received).length));
  });

  test("it disposes of itself", async ({ open, channel }) => {
    const broadcast = open();
    const subscription = await broadcast.subscribe(channel);
    await subscription[Symbol.asyncDispose]();
    assert.deepEqual(await take(subscription, 1), []);
    await broadcast[Symbol.asyncDispose]();
    assert.equal(broadcast.state, "closed");
  });

  test("statechange tells what becomes of the connection", async ({ open, channel }) => {
    const broadcast = open();
    const states: string[] = [broadcast.state];
    broadcast.addEventListener("statechange", ({ state }) => states.push(state));
    await broadcast.subscribe(channel);
    await broadcast.disconnect();
    assert.deepEqual(states, ["idle", "connecting", "connected", "closed"]);
  });
}
