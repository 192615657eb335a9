/** What is removed, wiped or overtaken, and who learns of it. */

import { assertEquals } from "@std/assert";
import { Position } from "../../../../core/backend/position.ts";
import { withBroker } from "../../../services/broker.ts";
import { Stream, until } from "./stream.ts";

const BURST = 50_000;

function holes(url: string): void {
  Deno.test("redis-stream: what was trimmed behind a position is a gap", async () => {
    await using stream = await Stream.open(url);
    const [a, b] = await stream.publish("a", "b", "c", "d");
    await stream.client.xtrim(stream.key, "MAXLEN", 3);
    assertEquals(await stream.behind(a!), [{ cause: "trimmed" }, "b", "c", "d"]);
    assertEquals(await stream.behind(a!, 2), [{ cause: "trimmed" }, "b", "c"]);
    assertEquals(await stream.behind(b!), ["c", "d"]);
  });

  Deno.test("redis-stream: what was trimmed behind the start is counted", async () => {
    await using stream = await Stream.open(url);
    await stream.publish("a", "b", "c", "d");
    assertEquals(await stream.behind(Position.start, 2), ["a", "b"]);
    await stream.client.xtrim(stream.key, "MAXLEN", 1);
    assertEquals(await stream.behind(Position.start), [{ cause: "trimmed", missed: 3 }, "d"]);
  });

  Deno.test("redis-stream: nothing is missing at the head, though nothing is left", async () => {
    await using stream = await Stream.open(url);
    const [a, b] = await stream.publish("a", "b");
    await stream.client.xtrim(stream.key, "MAXLEN", 0);
    assertEquals(await stream.behind(b!), []);
    assertEquals(await stream.behind(a!), [{ cause: "trimmed" }]);
    const tail = await stream.backend.tail(stream.key);
    assertEquals(`${tail.position!.newest!.at}`, `${b!.newest!.at}`);
    await tail.records.cancel();
  });

  Deno.test("redis-stream: a gap with nothing behind it is told once", async () => {
    await using stream = await Stream.open(url);
    const [a] = await stream.publish("a", "b");
    await stream.client.xtrim(stream.key, "MAXLEN", 0);
    for (const after of [a!, Position.start]) {
      const { items } = await stream.backend.read!(stream.key, { after, limit: 10 });
      const [gap] = items as readonly { restart?: Position }[];
      assertEquals(await stream.behind(gap!.restart!), []);
    }
  });

  Deno.test("redis-stream: a stream that was deleted is another one", async () => {
    await using stream = await Stream.open(url);
    const [a] = await stream.publish("a");
    await stream.client.del(stream.key);
    assertEquals(await stream.behind(a!), [{ cause: "epoch" }]);
    assertEquals(await stream.behind(Position.start), []);
  });

  Deno.test("redis-stream: the same id with another payload is of another stream", async () => {
    await using stream = await Stream.open(url);
    await stream.add("a", "5-0");
    const { items } = await stream.backend.read!(stream.key, { limit: 1 });
    const seen = Position.of(items[0]!.place!);
    await stream.add("b", "6-0");
    assertEquals(await stream.behind(seen), ["b"]);
    await stream.client.del(stream.key);
    for (const [message, id] of [["c", "4-0"], ["d", "5-0"], ["e", "6-0"]] as const) {
      await stream.add(message, id);
    }
    assertEquals(await stream.behind(seen), [{ cause: "epoch" }, "c", "d", "e"]);
  });

  Deno.test("redis-stream: a stream that ends before a position was wiped", async () => {
    await using stream = await Stream.open(url);
    const [a] = await stream.publish("a");
    await stream.client.del(stream.key);
    await stream.add("b", "1-0");
    assertEquals(await stream.behind(a!), [{ cause: "ahead" }, "b"]);
  });

  Deno.test("redis-stream: a live tail learns that its stream was deleted", async () => {
    await using stream = await Stream.open(url);
    const tail = await stream.backend.tail(stream.key);
    await stream.publish("a");
    assertEquals(await until(tail, "a"), ["a"]);
    const reader = tail.records.getReader();
    const next = reader.read();
    await stream.client.del(stream.key);
    assertEquals((await next).value, [{ cause: "epoch", restart: Position.start }]);
    reader.releaseLock();
    await stream.add("b", "1-0");
    assertEquals(await until(tail, "b"), ["b"]);
    await tail.records.cancel();
  });

  Deno.test("redis-stream: a live tail learns that its stream was begun anew", async () => {
    await using stream = await Stream.open(url);
    const tail = await stream.backend.tail(stream.key);
    await stream.publish("a");
    assertEquals(await until(tail, "a"), ["a"]);
    const next = until(tail, "c");
    await stream.client.multi().del(stream.key)
      .xadd(stream.key, "1-0", "message", "b").xadd(stream.key, "2-0", "message", "c").exec();
    assertEquals(await next, [{ cause: "ahead" }, "b", "c"]);
    await tail.records.cancel();
  });

  Deno.test("redis-stream: a live tail that trimming outruns says so", async () => {
    await using stream = await Stream.open(url);
    await stream.publish("first");
    const tail = await stream.backend.tail(stream.key);
    const received = until(tail, `m${BURST - 1}`);
    const burst = stream.client.pipeline();
    for (let number = 0; number < BURST; number++) {
      burst.xadd(stream.key, "MAXLEN", "~", 1_000, "*", "message", `m${number}`);
    }
    await burst.exec();
    const items = await received;
    let expected = 0;
    for (const item of items) {
      if (typeof item !== "string") {
        assertEquals(item, { cause: "trimmed" });
        expected = -1;
        continue;
      }
      const number = Number(item.slice(1));
      if (expected >= 0) assertEquals(number, expected);
      expected = number + 1;
    }
    await tail.records.cancel();
  });

  Deno.test("redis-stream: a page between two positions ends before the second", async () => {
    await using stream = await Stream.open(url);
    const [a, b, c, d] = await stream.publish("a", "b", "c", "d");
    const between = async (after: Position, before: Position) => {
      const { items } = await stream.backend.read!(stream.key, { after, before, limit: 10 });
      return items.map(({ payload }) => payload === undefined ? "gap" : String(payload));
    };
    assertEquals(await between(a!, d!), ["b", "c"]);
    assertEquals(await between(a!, b!), []);
    assertEquals(await between(c!, a!), []);
    assertEquals(await between(Position.start, c!), ["a", "b"]);
    await stream.client.xtrim(stream.key, "MAXLEN", 2);
    assertEquals(await between(a!, c!), ["gap"]);
    assertEquals(await between(a!, d!), ["gap", "c"]);
  });
}

withBroker("redis", (url) => holes(url.replace(/^(rediss?):/, "$1-stream:")));
