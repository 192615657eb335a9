/**
 * Cases on idempotency keys.
 *
 * @module
 */

import assert from "node:assert/strict";
import { type Suite, take, uniqueChannel } from "./harness.ts";
import { anyText, Random } from "./random.ts";

/** Registers the cases on idempotency keys. */
export function keys({ features, test }: Suite): void {
  if (!features.keys) {
    test("a key is refused at the call", async ({ open, channel }) => {
      await assert.rejects(
        open().publish(channel, "m", { idempotencyKey: "k" }),
        (error: Error) => {
          assert.equal(error.name, "TypeError");
          const start = `Cannot publish to "${channel}" with an idempotency key: `;
          assert.ok(error.message.startsWith(start), error.message);
          assert.match(
            error.message,
            /( with history=0|, backends that do are [\w-]+(, [\w-]+)+)$/,
          );
          return true;
        },
      );
    });
    return;
  }

  test("a key stores one event, and every publish with it gets its id", async (scope) => {
    const { channel, open } = scope;
    const broadcast = open();
    const other = scope.crossProcess ? open() : broadcast;
    const subscription = await other.subscribe(channel);
    const first = await broadcast.publish(channel, "first", { idempotencyKey: "k" });
    assert.equal(await broadcast.publish(channel, "again", { idempotencyKey: "k" }), first);
    assert.equal(await other.publish(channel, "elsewhere", { idempotencyKey: "k" }), first);
    await other.publish(channel, "last", { idempotencyKey: "l" });
    const events = await take(subscription, 2);
    assert.deepEqual(events.map(({ message }) => message), ["first", "last"]);
    if (!features.tellsNoPlace) assert.equal(first, events[0]!.id);
    assert.deepEqual(await broadcast.history(channel), events);
    // The id is that of the stored event.
    const resumed = await other.subscribe(channel, { after: first ?? events[0]!.id });
    assert.deepEqual(await take(resumed, 1), events.slice(1));
  });

  test("a key that many use at once stores one event", async (scope) => {
    const { channel, open } = scope;
    const broadcast = open();
    const all = scope.crossProcess ? [broadcast, open(), open()] : [broadcast];
    const ids = await Promise.all(
      Array.from(
        { length: 30 },
        (_, number) =>
          all[number % all.length]!.publish(channel, `m${number}`, {
            idempotencyKey: `k${number % 2}`,
          }),
      ),
    );
    const events = await broadcast.history(channel);
    assert.equal(events.length, 2);
    if (features.tellsNoPlace) return;
    assert.deepEqual(new Set(ids), new Set(events.map(({ id }) => id)));
    assert.deepEqual(new Set(ids.filter((_, number) => number % 2)).size, 1);
  });

  test("keys are their channel's own", async ({ open, channel }) => {
    const broadcast = open();
    const other = uniqueChannel();
    await broadcast.publish(channel, "one", { idempotencyKey: "k" });
    await broadcast.publish(other, "other", { idempotencyKey: "k" });
    await broadcast.publish(channel, "no key");
    const [one, two] = [await broadcast.history(channel), await broadcast.history(other)];
    assert.deepEqual(one.map(({ message }) => message), ["one", "no key"]);
    assert.deepEqual(two.map(({ message }) => message), ["other"]);
  });

  test("what has a key keeps its place among what has none, and its headers", async (scope) => {
    const { channel } = scope;
    const broadcast = scope.open();
    const subscription = await broadcast.subscribe(channel);
    const key = (key: string) => ({
      idempotencyKey: key,
      ...features.headers && { headers: { key } },
    });
    await Promise.all([
      broadcast.publish(channel, "0"),
      broadcast.publish(channel, "1", key("a")),
      broadcast.publish(channel, "2"),
      broadcast.publish(channel, "repeated", key("a")),
      broadcast.publish(channel, "3", key("b")),
      broadcast.publish(channel, "4"),
    ]);
    const events = await take(subscription, 5);
    assert.deepEqual(events.map(({ message }) => message), ["0", "1", "2", "3", "4"]);
    if (!features.headers) return;
    const headers = [undefined, { key: "a" }, undefined, { key: "b" }, undefined];
    assert.deepEqual(events.map(({ headers }) => headers), headers);
  });

  test("any text is a key, and no two are the same", async ({ open, channel }) => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    const random = new Random(seed);
    const texts = Array.from({ length: 40 }, () => anyText(random).replaceAll("\0", "") || " ");
    const tricky = ["k", "K", "k ", "%6B", "k%", "a\r\nb", "é", "e\u0301", "x".repeat(256)];
    const all = new Set([...tricky, ...texts]);
    const broadcast = open();
    for (const _ of [1, 2]) {
      await Promise.all(
        [...all].map((key) => broadcast.publish(channel, key, { idempotencyKey: key })),
      );
    }
    const events = await broadcast.history(channel, { limit: 200 });
    assert.deepEqual(events.map(({ message }) => message), [...all], `seed ${seed}`);
  });
}
