/**
 * Cases on subscribing to a log while others publish.
 *
 * @module
 */

import assert from "node:assert/strict";
import type { BroadcastEvent, Subscription } from "../../mod.ts";
import { idsOf, messages, numbered, publishAll, type Scope, type Suite, take } from "./harness.ts";

/** The number of events of each case, and of readers that subscribe meanwhile. */
const EVENTS = 600;
const READERS = 100;
/** The number of events that are published before the first reader subscribes. */
const BEFORE = 100;

/** Registers the cases on joining late. */
export function joining({ features, test }: Suite): void {
  if (!features.log) return;

  test("a join at any id, while others publish, loses and repeats nothing", async (scope) => {
    const { open, channel } = scope;
    const broadcast = open({ buffer: 32 });
    const witness = new Witness(await broadcast.subscribe(channel));
    await publishAll(broadcast, channel, numbered(BEFORE));
    const ids = await idsOf(broadcast, channel);
    const joins = Array.from({ length: READERS }, async (_, number) => {
      const from = Math.floor(Math.random() * ids.length);
      await witness.reached(BEFORE + number * (EVENTS - BEFORE) / READERS);
      const subscription = await broadcast.subscribe(channel, { after: ids[from] });
      return { from, events: await take(subscription, EVENTS - from - 1) };
    });
    await publishSlowly(open(), broadcast, scope);
    const events = await witness.all;
    assert.deepEqual(events.map(({ message }) => message), numbered(EVENTS));
    for (const { from, events: seen } of await Promise.all(joins)) {
      assert.deepEqual(seen, events.slice(from + 1));
    }
  });

  test("a join with any history, while others publish, is without a hole", async (scope) => {
    const { open, channel } = scope;
    const broadcast = open({ buffer: 32 });
    const witness = new Witness(await broadcast.subscribe(channel));
    await publishAll(broadcast, channel, numbered(BEFORE));
    const joins = Array.from({ length: READERS }, async (_, number) => {
      await witness.reached(BEFORE + number * (EVENTS - BEFORE) / READERS);
      const history = 1 + Math.floor(Math.random() * (BEFORE - 10));
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
    await publishSlowly(open(), broadcast, scope);
    await Promise.all(joins);
    await witness.all;
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

/** A subscriber that counts the events that have arrived. */
class Witness {
  /** Resolves with all events once the last one has arrived. */
  readonly all: Promise<readonly BroadcastEvent<unknown>[]>;
  readonly #events: BroadcastEvent<unknown>[] = [];
  #waiting: { readonly count: number; readonly resolve: () => void }[] = [];

  constructor(subscription: Subscription<unknown>) {
    this.all = this.#read(subscription);
  }

  /** Resolves once `count` events have arrived. */
  reached(count: number): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push({ count, resolve });
      this.#tell();
    });
  }

  async #read(subscription: Subscription<unknown>): Promise<readonly BroadcastEvent<unknown>[]> {
    for await (const event of subscription) {
      this.#events.push(event);
      this.#tell();
      if (this.#events.length === EVENTS) break;
    }
    return this.#events;
  }

  #tell(): void {
    const { length } = this.#events;
    for (const { count, resolve } of this.#waiting) if (count <= length) resolve();
    this.#waiting = this.#waiting.filter(({ count }) => count > length);
  }
}

/** Publishes the rest in small batches, if possible from another broadcast. */
async function publishSlowly(
  other: ReturnType<Scope["open"]>,
  same: ReturnType<Scope["open"]>,
  { channel, crossProcess }: Scope,
): Promise<void> {
  const publisher = crossProcess ? other : same;
  const rest = numbered(EVENTS).slice(BEFORE);
  while (rest.length > 0) await publishAll(publisher, channel, rest.splice(0, 7));
}
