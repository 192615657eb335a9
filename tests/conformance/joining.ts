/** @module From the past into the present, while others publish. */

import assert from "node:assert/strict";
import { idsOf, messages, numbered, publishAll, type Scope, type Suite, take } from "./harness.ts";

/** How many events each case publishes, and how many subscribe meanwhile. */
const EVENTS = 600;
const READERS = 100;

/** Cases on what a log adds for those who join late. */
export function joining({ features, test }: Suite): void {
  if (!features.log) return;

  test("a join at any id, while others publish, loses and repeats nothing", async (scope) => {
    const { open, channel } = scope;
    const broadcast = open({ buffer: 32 });
    const witness = await broadcast.subscribe(channel);
    const all = take(witness, EVENTS);
    await publishAll(broadcast, channel, numbered(100));
    const ids = await idsOf(broadcast, channel);
    const publishing = publishSlowly(open(), broadcast, scope, 100);
    const joins = Array.from({ length: READERS }, async (_, number) => {
      const from = Math.floor(Math.random() * ids.length);
      // Some begin at once, some in the middle of it.
      for (let turns = 0; turns < number; turns++) await broadcast.history(channel, { limit: 1 });
      const subscription = await broadcast.subscribe(channel, { after: ids[from] });
      return { from, events: await take(subscription, EVENTS - from - 1) };
    });
    await publishing;
    const events = await all;
    assert.deepEqual(events.map(({ message }) => message), numbered(EVENTS));
    for (const { from, events: seen } of await Promise.all(joins)) {
      assert.deepEqual(seen, events.slice(from + 1));
    }
  });

  test("a join with any history, while others publish, is without a hole", async (scope) => {
    const { open, channel } = scope;
    const broadcast = open({ buffer: 32 });
    await publishAll(broadcast, channel, numbered(100));
    const publishing = publishSlowly(open(), broadcast, scope, 100);
    const joins = Array.from({ length: READERS }, async (_, number) => {
      for (let turns = 0; turns < number; turns++) await broadcast.history(channel, { limit: 1 });
      const history = 1 + Math.floor(Math.random() * 90);
      const subscription = await broadcast.subscribe(channel, { history });
      const seen: unknown[] = [];
      for await (const { message, gap } of subscription) {
        assert.equal(gap, undefined);
        seen.push(message);
        if (message === `m${EVENTS - 1}`) break;
      }
      assert.ok(seen.length >= history);
      assert.deepEqual(seen, numbered(EVENTS).slice(-seen.length));
    });
    await publishing;
    await Promise.all(joins);
  });

  test("a channel that is ended is done for readers live, late, resuming and elsewhere", async (scope) => {
    const { open, channel, crossProcess } = scope;
    const broadcast = open();
    const other = crossProcess ? open() : broadcast;
    const expected = numbered(300);
    const live = await Promise.all([broadcast.subscribe(channel), other.subscribe(channel)]);
    const writer = broadcast.writable(channel, { end: true }).getWriter();
    for (const message of expected) await writer.write(message);
    await writer.close();
    for (const subscription of live) {
      assert.deepEqual(await messages(subscription, Infinity), expected);
    }
    const late = await other.subscribe(channel, { history: 1_000 });
    assert.deepEqual(await messages(late, Infinity), expected);
    const past = await broadcast.history(channel, { limit: 1_000 });
    assert.deepEqual(past.map(({ message }) => message), expected);
    const resumed = await other.subscribe(channel, { after: past[100]!.id });
    assert.deepEqual(await messages(resumed, Infinity), expected.slice(101));
    const atEnd = await other.subscribe(channel, { after: past.at(-1)!.id });
    assert.deepEqual(await messages(atEnd, Infinity), []);
  });
}

/** Publishes the rest in small batches, from another process where that is possible. */
async function publishSlowly(
  other: ReturnType<Scope["open"]>,
  same: ReturnType<Scope["open"]>,
  { channel, crossProcess }: Scope,
  from: number,
): Promise<void> {
  const publisher = crossProcess ? other : same;
  const rest = numbered(EVENTS).slice(from);
  while (rest.length > 0) await publishAll(publisher, channel, rest.splice(0, 7));
}
