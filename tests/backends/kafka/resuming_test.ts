/** Coming back to a topic: what is still there, and what is not. */

import { assert, assertEquals } from "@std/assert";
import kafkajs from "kafkajs";
import { KafkaBackend } from "../../../backends/kafka/log.ts";
import { Address } from "../../../core/backend/address.ts";
import { Position } from "../../../core/backend/position.ts";
import { numbered, within } from "../../conformance/harness.ts";
import { withBroker } from "../../services/broker.ts";
import { start } from "../../services/kafka.ts";
import {
  at,
  brief,
  briefs,
  endOf,
  follow,
  logRegistrar,
  placeOf,
  publish,
  TailReader,
} from "./logs.ts";
import { Outsider } from "./outsider.ts";

/** Cases on `after`. */
function resuming(url: string, name: string): void {
  const test = logRegistrar(url, name);

  test(
    "what follows an empty topic's opening is read, by a page and by a tail",
    async (backend, outsider) => {
      const topic = await outsider.topic(1);
      const { position } = await backend.tail(topic);
      await outsider.publish(topic, numbered(3).map((value) => ({ value })));
      assertEquals(
        briefs(await backend.read(topic, { after: position, limit: 10 })),
        numbered(3),
      );
      const tail = await backend.tail(topic, { after: position });
      assertEquals(await new TailReader(tail).briefs(3), numbered(3));
    },
  );

  test("every boundary of a topic, by a page and by a tail", async (backend, outsider) => {
    const topic = await outsider.topic(1);
    await publish(backend, topic, numbered(10));
    const { items } = await backend.read(topic, { limit: 10 });
    await deleteBefore(outsider, topic, 4);
    const rest = ["m4", "m5", "m6", "m7", "m8", "m9"];
    const places = items.map((item) => placeOf(item)!);
    const expected: [number, string[], (string | number)[]][] = [
      [2, ["trimmed"], ["!unknown of 9", 3, ...rest]],
      [3, [], ["!none of 9", ...rest]], // the newest of those that were removed
      [4, [], rest.slice(1)], // the oldest that is stored
      [5, [], rest.slice(2)],
      [8, [], ["m9"]],
      [9, [], []], // the head
      [10, ["rollback"], ["!unknown of 9", 3, ...rest]],
    ];
    for (const [offset, gaps, told] of expected) {
      for (const fingerprint of ["", places[offset]?.fingerprint ?? "1"]) {
        const after = Position.of(at(offset, 0, fingerprint));
        const page = await backend.read(topic, { after, limit: 10 });
        assertEquals(briefs(page), told, `${offset}`);
        assertEquals(follow(page.items, after).gaps, gaps, `${offset}`);
      }
      const after = Position.of(places[offset] ?? at(offset, 0, "1"));
      const tail = await backend.tail(topic, { after });
      assertEquals(tail.position, after);
      assertEquals(await new TailReader(tail).briefs(told.length), told, `${offset}`);
    }
    const tail = await backend.tail(topic, { after: Position.of(places[9]!) });
    await outsider.publish(topic, [{ value: "live" }]);
    assertEquals(await new TailReader(tail).briefs(1), ["live"]);
  });

  test(
    "a partition that was set back starts over, and no other one does",
    async (backend, outsider) => {
      const topic = await outsider.topic(2);
      await outsider.publish(topic, [{ value: "a", partition: 0 }, { value: "b", partition: 1 }]);
      await deleteBefore(outsider, topic, 1);
      const after = Position.of(at(0, 1), at(7));
      const page = await backend.read(topic, { after, limit: 10 });
      assertEquals(page.items, [
        { kind: "break", shard: 0, head: at(0), removed: "unknown" },
        { kind: "skip", place: at(0) },
      ]);
      assertEquals(follow(page.items, after), {
        position: Position.of(at(0), at(0, 1)),
        gaps: ["rollback"],
      });
      const tail = await backend.tail(topic, { after });
      assertEquals(await new TailReader(tail).take(2), [...page.items]);
      // The other one is read inclusive of its last record, and that came back.
      await outsider.publish(topic, [{ value: "c", partition: 1 }]);
      const { items } = await backend.read(topic, { after, limit: 10 });
      assertEquals(items.map(brief), ["!unknown of 0", 0, "c"]);
    },
  );

  test(
    "a partition that does not exist any more is of a topic that was deleted",
    async (backend, outsider) => {
      const topic = await outsider.topic(1);
      await outsider.publish(topic, [{ value: "a" }]);
      const after = Position.of(at(0), at(4, 1));
      const found = { kind: "break", shard: 1, replaced: true, removed: "unknown" } as const;
      const page = await backend.read(topic, { after, limit: 10 });
      assertEquals(page.items, [found]);
      assertEquals(follow(page.items, after), { position: Position.of(at(0)), gaps: ["reset"] });
      const tail = await backend.tail(topic, { after });
      assertEquals(await new TailReader(tail).take(1), [found]);
    },
  );

  test("a topic that was recreated is told from the old one", async (backend, outsider) => {
    const topic = await outsider.topic(2);
    const publish = (count: number) =>
      outsider.publish(
        topic,
        [0, 1].flatMap((partition) =>
          numbered(count, `${partition}-`).map((value) => ({ value, partition }))
        ),
      );
    await publish(3);
    const after = endOf(await backend.read(topic, { limit: 10 }));
    assertEquals(after.places.map((place) => place.at), [2, 2]);
    for (
      const [count, cause] of [[0, "rollback"], [1, "rollback"], [3, "reset"], [
        5,
        "reset",
      ]] as const
    ) {
      await outsider.recreate(topic, 2);
      if (count > 0) await publish(count);
      const page = await backend.read(topic, { after, limit: 100 });
      assertEquals(page.items.slice(0, 2).map(({ kind }) => kind), ["break", "break"]);
      assertEquals(page.items.length, 2 + 2 * count);
      const { gaps, position } = follow(page.items, after);
      assertEquals(gaps, [cause, cause]);
      assertEquals(position.places.map(({ at }) => at), count ? [count - 1, count - 1] : []);
      const told = cause === "reset" ? "!replaced" : `!unknown of ${count - 1}`;
      assertEquals(page.items.slice(0, 2).map(brief), [told, told]);
      const tail = await backend.tail(topic, { after });
      const received = await new TailReader(tail).briefs(2 + 2 * count);
      assertEquals(received.filter((one) => one === told).length, 2);
      for (const partition of [0, 1]) {
        const ofOne = received.filter((one) => String(one).startsWith(`${partition}-`));
        assertEquals(ofOne, numbered(count, `${partition}-`));
      }
      await tail.records.cancel().catch(() => {});
    }
  });

  test("nothing is before a position in a topic that was recreated", async (backend, outsider) => {
    const topic = await outsider.topic(2);
    const publish = (values: string[], partition: number) =>
      outsider.publish(topic, values.map((value) => ({ value, partition })));
    await publish(numbered(4, "old"), 0);
    await publish(numbered(2, "old"), 1);
    const { from, items } = await backend.read(topic, { limit: 10 });
    let before = from;
    const positions = items.map((item) => before = before.with(placeOf(item)!));
    for (const count of [1, 2, 6]) {
      await outsider.recreate(topic, 2);
      await publish(numbered(count, "new"), 0);
      await publish(numbered(count, "new"), 1);
      for (const before of positions) {
        assertEquals(await backend.read(topic, { before, limit: 10 }), {
          from: Position.start,
          items: [],
        });
        const forth = await backend.read(topic, { after: Position.start, before, limit: 10 });
        assertEquals(forth.items, []);
      }
    }
    const { items: fresh } = await backend.read(topic, { limit: 20 });
    const last = Position.of(...fresh.slice(-1).map((item) => placeOf(item)!));
    assertEquals((await backend.read(topic, { before: last, limit: 20 })).items.length, 5);
  });

  test(
    "a topic that was recreated while a slow reader had no room is told from the old one",
    async (backend, outsider) => {
      const topic = await outsider.topic(1);
      const tail = await backend.tail(topic);
      const block = new Uint8Array(900_000);
      for (let count = 0; count < 10; count++) await publish(backend, topic, [block]);
      // It has no room for the tenth: the next fetch begins once it is read.
      await outsider.recreate(topic, 1);
      const values = numbered(20);
      await outsider.publish(topic, values.map((value) => ({ value })));
      const reader = new TailReader(tail);
      let gap = "";
      while (!gap) {
        const [item] = await reader.take(1);
        if (item!.kind === "break") gap = String(brief(item!));
      }
      // Read before the first record of the new topic, or after it.
      assert(["!unknown of -1", "!replaced"].includes(gap), gap);
      assertEquals(await reader.briefs(20), values);
    },
  );

  test(
    "records that are deleted in the middle of a replay are a gap",
    async (backend, outsider) => {
      const topic = await outsider.topic(1);
      await publish(backend, topic, numbered(10));
      const first = await backend.read(topic, { after: Position.start, limit: 3 });
      assertEquals(briefs(first), ["m0", "m1", "m2"]);
      await deleteBefore(outsider, topic, 8);
      const second = await backend.read(topic, { after: endOf(first), limit: 3 });
      assertEquals(briefs(second), ["!unknown of 9", 7, "m8", "m9"]);
      assertEquals(briefs(await backend.read(topic, { after: endOf(second), limit: 3 })), []);
    },
  );

  test(
    "records that are all deleted are one gap, and not one for each page",
    async (backend, outsider) => {
      const topic = await outsider.topic(2);
      await outsider.publish(topic, numbered(4).map((value) => ({ value, partition: 0 })));
      await outsider.publish(topic, numbered(4).map((value) => ({ value, partition: 1 })));
      await deleteBefore(outsider, topic, 4);
      const page = await backend.read(topic, { after: Position.start, limit: 3 });
      assertEquals(briefs(page), ["!unknown of 3", 3, "m0", "m1", "m2"]);
      assertEquals(follow(page.items, Position.start).gaps, ["trimmed"]);
      const next = await backend.read(topic, { after: endOf(page), limit: 3 });
      assertEquals(briefs(next), ["!none of 3", "m3"]);
      assertEquals(follow(next.items, endOf(page)).gaps, []);
    },
  );

  test(
    "a partition that was added later is read from its start, by an id from before",
    async (backend, outsider) => {
      const topic = await outsider.topic(3);
      const publish = (value: string, partitions: number[]) =>
        outsider.publish(topic, partitions.map((partition) => ({ value, partition })));
      await publish("old", [0, 1, 2]);
      const after = endOf(await backend.read(topic, { limit: 10 }));
      await outsider.grow(topic, 4);
      await publish("new", [0, 1, 2, 3]);
      await publish("newer", [3]);
      const page = await backend.read(topic, { after, limit: 10 });
      assertEquals(briefs(page), ["new", "new", "new", "new", "newer"]);
      assertEquals(endOf(page).places.map(({ shard, at }) => [shard, at]).toSorted(), [
        [0, 1],
        [1, 1],
        [2, 1],
        [3, 1],
      ]);
      const tail = await backend.tail(topic, { after });
      const received = await new TailReader(tail).briefs(5);
      assertEquals(received.toSorted(), ["new", "new", "new", "new", "newer"]);
    },
  );

  test("the marker of a transaction is a place to come back to", async (backend, outsider) => {
    const topic = await outsider.topic(1);
    const producer = outsider.kafka.producer({
      transactionalId: topic,
      maxInFlightRequests: 1,
      idempotent: true,
      createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
    });
    await producer.connect();
    const transaction = await producer.transaction();
    await transaction.send({ topic, messages: [{ value: "committed" }, { value: null }] });
    await transaction.commit();
    await producer.disconnect();
    while ((await outsider.counts(topic))[0] !== 3);
    const page = await backend.read(topic, { after: Position.start, limit: 10 });
    assertEquals(briefs(page), ["committed", 1, 2]);
    assert(placeOf(page.items.at(-1)!)!.fingerprint !== "");
    await publish(backend, topic, ["end"]);
    for (const item of page.items) {
      const place = placeOf(item)!;
      const after = Position.of(place);
      const rest = [1, 2, "end"].slice(place.at);
      assertEquals(briefs(await backend.read(topic, { after, limit: 10 })), rest);
      const tail = await backend.tail(topic, { after });
      assertEquals(await new TailReader(tail).briefs(rest.length), rest);
    }
  });

  Deno.test(`${name}: a place that compaction removed is a gap, and reading goes on`, async () => {
    await using server = await start({
      version: name === "kafka4" ? "4.1.1" : "3.9.1",
      properties: { "log.cleaner.backoff.ms": "100" },
    });
    await using outsider = new Outsider(server.url);
    const backend = new KafkaBackend(new Address(server.url));
    const topic = await outsider.topic(1, {
      "cleanup.policy": "compact",
      "segment.ms": "1",
      "min.cleanable.dirty.ratio": "0.001",
    });
    // Each is in a segment of its own. The last of each key stays, and what is in the last segment.
    for (const [index, value] of numbered(10).entries()) {
      await outsider.publish(topic, [{ key: index % 2 ? "odd" : "even", value }]);
    }
    const all = () => backend.read(topic, { after: Position.start, limit: 100 });
    const compacted = (async () => {
      while ((await all()).items.length !== 3);
    })();
    await within(compacted);
    for (const offset of [0, 3, 6]) {
      const after = Position.of(at(offset));
      assertEquals(
        briefs(await backend.read(topic, { after, limit: 10 })),
        ["!unknown of 9", "m7", "m8", "m9"],
      );
      const tail = await backend.tail(topic, { after });
      assertEquals(await new TailReader(tail).briefs(4), ["!unknown of 9", "m7", "m8", "m9"]);
    }
    const last = await backend.read(topic, { limit: 1 });
    assertEquals(briefs(last), ["m9"]);
    assertEquals(last.from.newest!.at, 8);
    assertEquals(briefs(await backend.read(topic, { after: last.from, limit: 10 })), ["m9"]);
    const { items } = await backend.read(topic, { limit: 50 });
    assertEquals(items.map((item) => placeOf(item)!.at), [7, 8, 9]);
    await backend.close();
  });
}

async function deleteBefore(outsider: Outsider, topic: string, offset: number): Promise<void> {
  const admin = await outsider.admin();
  // It deletes only in partitions whose leader it has heard of.
  await outsider.counts(topic);
  await admin.deleteTopicRecords({
    topic,
    partitions: [{ partition: 0, offset: String(offset) }],
  });
}

for (const line of ["kafka", "kafka4"]) withBroker(line, (url) => resuming(url, line));
