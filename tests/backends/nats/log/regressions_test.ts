/** Messages that are removed, replaced or overtaken, and who is told. */

import { assert, assertEquals } from "@std/assert";
import { positionAfter } from "../../../../core/backend/continuity.ts";
import { Pattern } from "../../../../core/backend/pattern.ts";
import type { Item, RecordReader } from "../../../../core/backend/contract.ts";
import { Position } from "../../../../core/backend/position.ts";
import { Broadcast } from "../../../../mod.ts";
import { messages } from "../../../conformance/harness.ts";
import { withBroker } from "../../../services/broker.ts";
import { DELETABLE, inWords, Log, until } from "./stream.ts";

const BURST = 20_000;

function holes(url: string): void {
  Deno.test("nats-stream: what was removed after a position is a gap", async () => {
    await using log = await Log.open(url);
    const [a, b] = await log.publish("x", "a", "b", "c", "d");
    await log.manager.streams.purge(log.name, { keep: 3 });
    assertEquals(await log.after("x", Position.start), ["trimmed", "b", "c", "d"]);
    // "a" was removed alone: nothing after it is missing.
    assertEquals(await log.after("x", a!), ["b", "c", "d"]);
    await log.manager.streams.purge(log.name, { keep: 2 });
    assertEquals(await log.after("x", a!), ["trimmed", "c", "d"]);
    assertEquals(await log.after("x", a!, 1), ["trimmed", "c"]);
    assertEquals(await log.after("x", b!), ["c", "d"]);
  });

  Deno.test("nats-stream: nothing is missing at the head, though nothing is left", async () => {
    await using log = await Log.open(url);
    const [a, b] = await log.publish("x", "a", "b");
    await log.manager.streams.purge(log.name);
    assertEquals(await log.after("x", b!), []);
    assertEquals(await log.after("x", a!), ["trimmed"]);
    // The break is followed by the place where the stream goes on.
    const items = await log.items("x", a!);
    assertEquals(items.map(({ kind }) => kind), ["break", "skip"]);
    assertEquals(await log.items("x", items.reduce(positionAfter, a!)), []);
    const tail = await log.backend.tail("x");
    assertEquals(tail.position!.newest!.at, b!.newest!.at);
    await tail.records.cancel();
  });

  Deno.test("nats-stream: a purge of one channel is no gap in another one", async () => {
    await using log = await Log.open(url);
    const [x] = await log.publish("x", "a");
    const [, y] = await log.publish("y", "1", "2", "3");
    const [z] = await log.publish("z", "z");
    await log.manager.streams.purge(log.name, { filter: `${log.name}.y` });
    await log.publish("x", "b");
    assertEquals(await log.after("x", x!), ["b"]);
    assertEquals(await log.after("z", z!), []);
    assertEquals(await log.after("y", y!), ["trimmed"]);
    // Whose records a pattern misses is not known.
    assertEquals(await log.after(new Pattern("*"), x!), ["trimmed", "z", "b"]);
    assertEquals(await log.after(new Pattern("*"), z!), ["b"]);
  });

  Deno.test("nats-stream: a channel that outruns its own limit says so, others do not", async () => {
    await using log = await Log.open(url, "&maxlen=3");
    const [quiet] = await log.publish("quiet", "q");
    const [a] = await log.publish("busy", "a", "b", "c", "d", "e");
    assertEquals(await log.after("busy", a!), ["trimmed", "c", "d", "e"]);
    await log.publish("quiet", "r");
    assertEquals(await log.after("quiet", quiet!), ["r"]);
  });

  Deno.test("nats-stream: a tail that goes on after the last message reads no page", async () => {
    await using log = await Log.open(url);
    const [a, b] = await log.publish("x", "a", "b");
    const asked: string[] = [];
    log.client.subscribe("$JS.API.CONSUMER.>", {
      callback: (_, { subject }) => {
        if (subject.includes(log.name)) asked.push(subject);
      },
    });
    await log.client.flush();
    const first = async (after: Position, meanwhile?: string) => {
      const reader = (await log.backend.tail("x", { after })).records as RecordReader;
      const read = reader.read();
      if (meanwhile) await log.publish("x", meanwhile);
      const { value } = await read as { readonly value: readonly Item[] };
      await reader.cancel();
      return inWords(value, after);
    };
    assertEquals(await first(b!, "c"), ["c"]);
    assertEquals(asked, []);
    // One that is behind has to.
    assertEquals(await first(a!), ["b", "c"]);
    assert(asked.length > 0);
  });

  Deno.test("nats-stream: a stream that was recreated is another one", async () => {
    await using log = await Log.open(url, DELETABLE);
    const [a, , c] = await log.publish("x", "a", "b", "c");
    await log.recreate();
    assertEquals(await log.after("x", c!), ["reset"]);
    await log.client.request(`${log.name}.x`, "d");
    assertEquals(await log.after("x", a!), ["reset", "d"]);
    assertEquals(await log.after("x", Position.start), ["d"]);
  });

  Deno.test("nats-stream: a live tail learns that its stream was recreated", async () => {
    await using log = await Log.open(url, DELETABLE);
    const tail = await log.backend.tail("x");
    await log.publish("x", "a");
    assertEquals(await until(tail, "a"), ["a"]);
    const next = until(tail, "b");
    await log.recreate();
    await log.client.request(`${log.name}.x`, "b");
    assertEquals(await next, ["reset", "b"]);
    await tail.records.cancel();
  });

  Deno.test("nats-stream: a stream that was deleted is created again for the next messages", async () => {
    await using log = await Log.open(url, DELETABLE);
    const tail = await log.backend.tail("x");
    const [a] = await log.publish("x", "a");
    assertEquals(await until(tail, "a"), ["a"]);
    const next = until(tail, "b");
    await log.manager.streams.delete(log.name);
    assertEquals(await log.after("x", a!), ["reset"]);
    await log.publish("x", "b");
    assertEquals(await next, ["reset", "b"]);
    await tail.records.cancel();
  });

  Deno.test("nats-stream: a burst larger than what is kept says so, to who reads it later", async () => {
    await using log = await Log.open(url, "&maxBytes=65536");
    const tail = await log.backend.tail("x");
    const [first] = await log.publish("x", "first");
    assertEquals(await until(tail, "first"), ["first"]);
    // Nobody reads the tail meanwhile: what may wait for the core is less than this.
    const large = "x".repeat(2_000);
    for (let number = 0; number < BURST; number += 2_000) {
      await log.publish("x", ...Array.from({ length: 2_000 }, (_, n) => `${number + n} ${large}`));
    }
    await log.publish("x", "last");
    const words = (await until(tail, "last")).map((item) => String(item).split(" ")[0]!);
    let expected = 0;
    for (const word of words.slice(0, -1)) {
      if (word === "trimmed") expected = -1;
      else if (expected >= 0) assertEquals(Number(word), expected);
      if (word !== "trimmed") expected = Number(word) + 1;
    }
    assert(words.includes("trimmed"));
    assertEquals((await log.after("x", first!))[0], "trimmed");
    await tail.records.cancel();
  });

  Deno.test("nats-stream: what others trim while it is replayed is told", async () => {
    await using log = await Log.open(url);
    const numbers = Array.from({ length: 300 }, (_, number) => `${number}`);
    const positions = await log.publish("x", ...numbers);
    let after = positions[0]!;
    const read: unknown[] = [];
    for (let round = 0; round < 4; round++) {
      const { items } = await log.backend.read!("x", { after, limit: 50 });
      read.push(items.map(({ kind }) => kind));
      after = items.reduce(positionAfter, after);
      if (round === 1) await log.manager.streams.purge(log.name, { keep: 100 });
    }
    const page = (count: number) => Array(count).fill("record");
    assertEquals(read, [page(50), page(50), ["break", ...page(50)], page(50)]);
  });

  Deno.test("nats-stream: a page between two positions ends before the second", async () => {
    await using log = await Log.open(url);
    const [a, b, c, d] = await log.publish("x", "a", "b", "c", "d");
    const between = async (after: Position, before: Position) => {
      const { items } = await log.backend.read!("x", { after, before, limit: 10 });
      return items.map(({ kind }) => kind);
    };
    assertEquals(await between(a!, d!), ["record", "record"]);
    assertEquals(await between(a!, b!), []);
    assertEquals(await between(c!, a!), []);
    assertEquals(await between(Position.start, c!), ["record", "record"]);
    await log.manager.streams.purge(log.name, { keep: 1 });
    assertEquals(await between(a!, c!), ["break"]);
  });

  Deno.test("nats-stream: the newest of a channel are found among those of all others", async () => {
    await using log = await Log.open(url);
    await log.publish("rare", "1", "2");
    await log.publish("busy", ...Array.from({ length: 3_000 }, (_, number) => `${number}`));
    const [three] = await log.publish("rare", "3");
    await log.publish("busy", ...Array.from({ length: 1_000 }, (_, number) => `${number}`));
    const newest = async (target: string | Pattern, limit: number, before?: Position) => {
      const { items } = await log.backend.read!(target, { limit, before });
      return inWords(items, Position.start);
    };
    assertEquals(await newest("rare", 2), ["2", "3"]);
    assertEquals(await newest("rare", 9), ["1", "2", "3"]);
    assertEquals(await newest("rare", 1, three!), ["2"]);
    assertEquals(await newest("none", 9), []);
    assertEquals(await newest("busy", 2), ["998", "999"]);
    await using broadcast = new Broadcast(Log.url(url, log.name));
    const subscription = await broadcast.subscribe({ pattern: "r*" }, { history: 2 });
    assertEquals(await messages(subscription, 2), ["2", "3"]);
  });
}

withBroker("nats", holes);
