/**
 * Cases on disconnecting and on ending a channel.
 *
 * @module
 */

import assert from "node:assert/strict";
import { encrypted, json } from "../../mod.ts";
import { alsoUsed, messages, numbered, type Suite, take } from "./harness.ts";

const CLOSED = {
  name: "ClosedError",
  message: "Cannot use broadcast: it is disconnected, make a new one",
};

/** Registers the cases on `disconnect()` and on the end of a channel. */
export function endings({ test, features }: Suite): void {
  test("disconnect() ends every subscription after what has arrived", async ({ open, channel }) => {
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

  test("disconnect() while connecting and subscribing leaves no call pending", async ({ open, channel }) => {
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
    // All were accepted, but the subscription ended before some of them were received.
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

  test("statechange reports each state of the connection", async ({ open, channel }) => {
    const broadcast = open();
    const states: string[] = [broadcast.state];
    broadcast.addEventListener("statechange", ({ state }) => states.push(state));
    await broadcast.subscribe(channel);
    await broadcast.disconnect();
    assert.deepEqual(states, ["idle", "connecting", "connected", "closed"]);
  });

  if (!features.log || !features.binary) return;
  const key = new Uint8Array(32).fill(7);
  const sealing = () => encrypted(json(), { current: "a", keys: { a: key } });
  for (const [name, make] of Object.entries({ json, encrypted: sealing })) {
    test(`a channel is ended with a reason, live and late (${name})`, async ({ open, channel }) => {
      const broadcast = open({ codec: make() });
      const other = features.crossProcess ? open({ codec: make() }) : broadcast;
      const live = await broadcast.subscribe(channel);
      const writer = broadcast.writable(channel, { end: "that is all: ü 🎉\n" }).getWriter();
      await writer.write("one");
      await writer.close();
      assert.deepEqual(await messages(live, 2), ["one"]);
      const late = await other.subscribe(channel, { history: 10 });
      assert.deepEqual(await messages(late, 2), ["one"]);
      assert.equal(live.endReason, "that is all: ü 🎉\n");
      assert.equal(late.endReason, live.endReason);
    });
  }

  test("a channel cannot be ended without a key", async ({ open, channel }) => {
    const broadcast = open({ codec: sealing() });
    let failed = 0;
    broadcast.addEventListener("messageerror", () => failed++);
    const subscription = await broadcast.subscribe(channel);
    if (features.crossProcess) {
      await open({ codec: json() }).writable(channel, { end: true }).close();
    }
    await broadcast.publish(channel, "goes on");
    assert.deepEqual(await messages(subscription, 1), ["goes on"]);
    assert.equal(failed, features.crossProcess ? 1 : 0);
  });
}
