/** The past of a topic, over all its partitions. */

import { assert, assertEquals } from "@std/assert";
import type { KafkaBackend } from "../../../backends/kafka/log.ts";
import type { Item } from "../../../core/backend/contract.ts";
import { Position } from "../../../core/backend/position.ts";
import { Broadcast } from "../../../mod.ts";
import { take } from "../../conformance/harness.ts";
import { withBroker } from "../../services/broker.ts";
import { brief, briefs, endOf, front, logRegistrar, placeOf } from "./logs.ts";
import type { Outsider } from "./outsider.ts";

/** Cases on pages. */
function pages(url: string, name: string): void {
  const test = logRegistrar(url, name);

  test(
    "the last records are found over all partitions, by their time",
    async (backend, outsider) => {
      const topic = await fill(outsider, [[1, 2, 3, 10], [4, 5, 11], [6]]);
      const page = await backend.read(topic, { limit: 4 });
      assertEquals(briefs(page), ["1@5", "2@6", "0@10", "1@11"]);
      assertEquals(
        page.from.places.map(({ shard, at }) => [shard, at]),
        [[1, 0], [0, 2]],
      );
      assertEquals(
        briefs(await backend.read(topic, { after: page.from, limit: 10 })),
        briefs(page),
      );
      assertEquals(briefs(await backend.read(topic, { limit: 1 })), ["1@11"]);
    },
  );

  test(
    "a page of the last records has the places before it in the others, too",
    async (backend, outsider) => {
      const topic = await fill(outsider, [[1, 2], [8, 9], []]);
      const page = await backend.read(topic, { limit: 1 });
      assertEquals(briefs(page), ["1@9"]);
      assertEquals(
        page.from.places.map(({ shard, at, fingerprint }) => [shard, at, fingerprint]),
        [[1, 0, "8"], [0, 1, "2"]],
      );
    },
  );

  for (const limit of [1, 3, 7, 100]) {
    test(
      `paging by ${limit}, back and forth, finds each record once and in its order`,
      async (backend, outsider) => {
        const topic = await fill(outsider, TIMES);
        const count = TIMES.flat().length;
        const forth = await forwards(backend, topic, limit);
        const back = await backwards(backend, topic, limit);
        for (const items of [forth, back]) {
          assertEquals(items.length, count);
          assertEquals(
            new Set(items.map((item) => `${placeOf(item)!.shard} ${placeOf(item)!.at}`)).size,
            count,
          );
          for (const partition of [0, 1, 2]) {
            const offsets = items.map((item) => placeOf(item)!)
              .filter(({ shard }) => shard === partition).map(({ at }) => at);
            assertEquals(offsets, TIMES[partition]!.map((_, offset) => offset));
          }
        }
        // However it is cut into pages, the order is the same.
        assertEquals(forth, await forwards(backend, topic, 1_000));
        assertEquals(back, await backwards(backend, topic, 1_000));
      },
    );
  }

  test(
    "between two positions are the records after the one and before the other",
    async (backend, outsider) => {
      const topic = await fill(outsider, [[1, 4, 7], [2, 5, 8], [3, 6, 9]]);
      const { from, items } = await backend.read(topic, { limit: 100 });
      const positions: Position[] = [];
      let position = from;
      for (const item of items) positions.push(position = position.with(placeOf(item)!));
      for (let first = 0; first < 9; first++) {
        for (let last = first; last < 9; last++) {
          const range = { after: positions[first]!, before: positions[last]! };
          const page = await backend.read(topic, { ...range, limit: 100 });
          assertEquals(briefs(page), items.slice(first + 1, Math.max(first + 1, last)).map(brief));
        }
        const page = await backend.read(topic, { before: positions[first]!, limit: 3 });
        assertEquals(briefs(page), items.slice(Math.max(0, first - 3), first).map(brief));
      }
    },
  );

  test(
    "long records come in pages that are bounded, and all of them come",
    async (backend, outsider) => {
      const topic = await outsider.topic(2);
      const count = 12;
      for (let time = 1; time <= count; time++) {
        const value = `${time}`.padEnd(900_000, ".");
        await outsider.publish(topic, [{ value, timestamp: `${time}`, partition: time % 2 }]);
      }
      const sizes: number[] = [];
      let after = Position.start;
      const forth: number[] = [];
      for (;;) {
        const page = await backend.read(topic, { after, limit: 1_000 });
        if (page.items.length === 0) break;
        sizes.push(page.items.length);
        forth.push(...page.items.map((item) => parseInt(String(brief(item)))));
        after = endOf(page);
      }
      let before: Position | undefined;
      const back: number[] = [];
      for (;;) {
        const page = await backend.read(topic, { before, limit: 1_000 });
        if (page.items.length === 0) break;
        sizes.push(page.items.length);
        back.unshift(...page.items.map((item) => parseInt(String(brief(item)))));
        before = front(page);
      }
      const expected = Array.from({ length: count }, (_, index) => index + 1);
      assertEquals(forth, expected);
      assertEquals(back, expected);
      assert(Math.max(...sizes) <= 8, `pages had ${sizes}`);
    },
  );

  test("a page does not wait for the tails", async (backend, outsider) => {
    const topic = await fill(outsider, [[1, 2, 3]]);
    await backend.tail(topic);
    await backend.read(topic, { limit: 3 });
    const start = performance.now();
    for (let count = 0; count < 50; count++) await backend.read(topic, { limit: 3 });
    const elapsed = performance.now() - start;
    // A fetch of a tail waits for 100 ms.
    assert(elapsed < 4_000, `50 pages took ${elapsed} ms`);
  });

  test(
    "a subscriber comes from the past of three partitions into their present",
    async (backend, outsider) => {
      const topic = await fill(outsider, TIMES);
      await using broadcast = new Broadcast(url);
      const subscription = await broadcast.subscribe(topic, { history: 10 });
      const live = [0, 1, 2].map((partition) => ({ value: `live ${partition}`, partition }));
      await outsider.publish(topic, live);
      const events = await take(subscription, 13);
      const { items } = await backend.read(topic, { limit: 13 });
      assertEquals(
        events.slice(0, 10).map(({ message }) => message),
        items.slice(0, 10).map(brief) as string[],
      );
      assertEquals(
        events.slice(10).map(({ message }) => message as string).toSorted(),
        live.map(({ value }) => value),
      );
      assertEquals(events.filter(({ gap }) => gap), []);
      // Each id has all partitions.
      for (const [index, { id }] of events.slice(0, 12).entries()) {
        const page = await broadcast.history(topic, { after: id, limit: 100 });
        assertEquals(page.length, 12 - index);
      }
    },
  );
}

/** Of which the first partition's clock goes back and forth. */
const TIMES = [
  Array.from({ length: 20 }, (_, index) => 100 + 7 * (index * 5 % 11)),
  Array.from({ length: 10 }, (_, index) => 105 + 9 * index),
  Array.from({ length: 3 }, (_, index) => 120 + 40 * index),
];

/** A topic with records of these times, in each partition. */
async function fill(outsider: Outsider, times: readonly number[][]): Promise<string> {
  const topic = await outsider.topic(times.length);
  for (const [partition, all] of times.entries()) {
    const messages = all.map((time) => ({
      value: `${partition}@${time}`,
      timestamp: `${time}`,
      partition,
    }));
    if (messages.length > 0) await outsider.publish(topic, messages);
  }
  return topic;
}

async function forwards(backend: KafkaBackend, topic: string, limit: number): Promise<Item[]> {
  const found: Item[] = [];
  let after = Position.start;
  for (;;) {
    const page = await backend.read(topic, { after, limit });
    if (page.items.length === 0) return found;
    assert(page.items.length <= limit);
    found.push(...page.items);
    after = endOf(page);
  }
}

async function backwards(backend: KafkaBackend, topic: string, limit: number): Promise<Item[]> {
  const found: Item[] = [];
  let before: Position | undefined;
  for (;;) {
    const page = await backend.read(topic, { before, limit });
    if (page.items.length === 0) return found;
    assert(page.items.length <= limit);
    found.unshift(...page.items);
    before = front(page);
  }
}

for (const line of ["kafka", "kafka4"]) withBroker(line, (url) => pages(url, line));
