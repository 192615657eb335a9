/** The positions of records, and those at which a tail starts. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { fingerprintOf, PartitionReader } from "../../../backends/kafka/partition_reader.ts";
import type { Item } from "../../../core/backend/contract.ts";
import { JointScope, LONGEST_ID, Scope } from "../../../core/backend/id.ts";
import { Position } from "../../../core/backend/position.ts";
import { numbered, uniqueChannel } from "../../conformance/harness.ts";
import { withBroker } from "../../services/broker.ts";
import { at, brief, follow, logRegistrar, placeOf, publish } from "./logs.ts";

/** Cases on positions. */
function positions(url: string, name: string): void {
  const test = logRegistrar(url, name);

  test(
    "publish knows the position on one partition, by either kind of time, and on two none",
    async (backend, outsider) => {
      for (const kind of ["CreateTime", "LogAppendTime"]) {
        const topic = await outsider.topic(1, { "message.timestamp.type": kind });
        await outsider.publish(topic, [{ value: "other" }]);
        const positions = await publish(backend, topic, numbered(3));
        const { items } = await backend.read(topic, { limit: 3 });
        assertEquals(positions, items.map((item) => Position.of(placeOf(item)!)));
        assertEquals(items.map((item) => placeOf(item)!.at), [1, 2, 3]);
      }
      const topic = await outsider.topic(2);
      assertEquals(await publish(backend, topic, ["a", "b"]), [undefined, undefined]);
    },
  );

  test(
    "a topic of more partitions than fit into an id is refused, but for publishing",
    async (backend, outsider) => {
      const [most, more] = [await outsider.topic(43), await outsider.topic(44)];
      assertEquals((await backend.tail(most)).position, Position.start);
      assertEquals((await backend.read(most, { limit: 1 })).items, []);
      await publish(backend, more, ["hello"]);
      for (const call of [() => backend.tail(more), () => backend.read(more, { limit: 1 })]) {
        const { message } = await assertRejects(call as () => Promise<unknown>, RangeError);
        assertEquals(
          message,
          `Cannot use channel "${more}" on kafka: its topic has 44 partitions, an id has room for 43`,
        );
      }
    },
  );

  test(
    "a topic that does not exist is an empty page, and a position in it is of another one",
    async (backend, outsider) => {
      const topic = uniqueChannel();
      assertEquals(await backend.read(topic, { limit: 10 }), { from: Position.start, items: [] });
      const after = Position.of(at(3), at(5, 2));
      const found = { kind: "break", recreated: true, removed: "unknown" } as const;
      assertEquals(await backend.read(topic, { after, limit: 10 }), {
        from: after,
        items: [{ ...found, shard: 0 }, { ...found, shard: 2 }],
      });
      assert(!(await (await outsider.admin()).listTopics()).includes(topic));
    },
  );

  test(
    "the opening position is that of the newest record, and of an empty topic none",
    async (backend, outsider) => {
      const topic = await outsider.topic(3);
      assertEquals((await backend.tail(topic)).position, Position.start);
      await outsider.publish(topic, numbered(3).map((value) => ({ value, partition: 1 })));
      assertEquals((await backend.tail(topic)).position, Position.of(at(2, 1)));
    },
  );

  Deno.test(`${name}: 32 channels of one partition fit into one id`, () => {
    const names = Array.from({ length: 32 }, uniqueChannel).sort();
    const joint = new JointScope("kafka", names);
    for (const offset of [0, 10 ** 12, Number.MAX_SAFE_INTEGER]) {
      for (const time of ["0", `${Date.now()}`, "99999999999999", `${2n ** 63n - 1n}`]) {
        const position = Position.of(at(offset, 0, fingerprintOf(time)));
        const id = joint.id(names.map((channel) => new Scope("kafka", channel).id(position)));
        assert(id.length <= LONGEST_ID, `${id.length} bytes`);
        assertEquals((joint.find(id) as string[]).length, 32);
      }
    }
  });

  Deno.test(`${name}: a batch that compaction has emptied is passed, with one gap`, () => {
    const records = (...offsets: number[]) =>
      offsets.map((offset) => ({
        offset: `${offset}`,
        timestamp: "7",
        value: new Uint8Array(),
      }));
    const bounds = { begin: 0, end: 9 };
    const lane = new PartitionReader(0, at(4, 0, "7"));
    assertEquals(lane.seek(bounds), []);
    assertEquals(lane.take({ ...bounds, messages: records(3, 4) }), []);
    // The rest of its batch is before it: fetches bring that again and again.
    const told: unknown[] = [];
    let fetches = 0;
    while (lane.offset < 9) {
      fetches++;
      const { offset } = lane;
      const messages = offset < 7 ? records(3, 4) : records(7, 8);
      const items = lane.take({ ...bounds, messages });
      told.push(...(lane.offset > offset ? items : lane.miss()).map(brief));
    }
    assertEquals(told, ["!unknown of 8", "", ""]);
    assertEquals(fetches, 7);
    assertEquals(lane.miss(), []);
  });

  Deno.test(`${name}: a partition whose end compaction has emptied is passed to its head`, () => {
    const empty = { begin: 0, end: 9, messages: [] };
    for (const [last, told] of [[6, ["!unknown of 8", 8]], [8, ["!none of 8"]]] as const) {
      const lane = new PartitionReader(0, at(last, 0, "7"));
      assertEquals(lane.seek(empty), []);
      const items: Item[] = [];
      while (lane.offset < 9) items.push(...lane.take(empty), ...lane.miss());
      assertEquals<readonly unknown[]>(items.map(brief), told);
      // It is not found again from there.
      const { position, gaps } = follow(items, Position.of(at(last, 0, "7")));
      assertEquals([position.in(0)!.at, gaps], [8, last === 8 ? [] : ["trimmed"]]);
    }
  });
}

for (const line of ["kafka", "kafka4"]) withBroker(line, (url) => positions(url, line));
