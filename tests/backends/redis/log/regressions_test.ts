/** Streams that are trimmed, deleted or recreated: the facts that readers and tails are told. */

import { assertEquals } from "@std/assert";
import { positionAfter } from "../../../../core/backend/continuity.ts";
import { Position } from "../../../../core/backend/position.ts";
import { Broadcast } from "../../../../mod.ts";
import { messages } from "../../../conformance/harness.ts";
import { withBroker } from "../../../services/broker.ts";
import { Listening, Stream } from "./stream.ts";

const BURST = 50_000;

function holes(url: string): void {
  Deno.test("redis-stream: entries that were trimmed after a position are a gap", async () => {
    await using stream = await Stream.open(url);
    const [a, b, , d] = await stream.publish("a", "b", "c", "d");
    await stream.client.xtrim(stream.key, "MAXLEN", 3);
    assertEquals(await stream.after(a!), [{ cause: "trimmed" }, "b", "c", "d"]);
    assertEquals(await stream.after(a!, 2), [{ cause: "trimmed" }, "b", "c"]);
    assertEquals(await stream.after(b!), ["c", "d"]);
    // Whether any of them came after it is not known.
    const facts = { kind: "break", replaced: false, head: d!.newest, removed: "unknown" } as const;
    assertEquals((await stream.items(a!))[0], facts);
  });

  Deno.test("redis-stream: entries that were trimmed after the start are counted", async () => {
    await using stream = await Stream.open(url);
    const published = await stream.publish("a", "b", "c", "d");
    assertEquals(await stream.after(Position.start, 2), ["a", "b"]);
    await stream.client.xtrim(stream.key, "MAXLEN", 1);
    assertEquals(await stream.after(Position.start), [{ cause: "trimmed", missed: 3 }, "d"]);
    const [found] = await stream.items(Position.start);
    assertEquals(found, { kind: "break", head: published[3]!.newest!, removed: 3 });
  });

  Deno.test("redis-stream: nothing is missing at the head, though nothing is left", async () => {
    await using stream = await Stream.open(url);
    const [a, b] = await stream.publish("a", "b");
    await stream.client.xtrim(stream.key, "MAXLEN", 0);
    const [found, ...others] = await stream.items(b!);
    const head = { ...b!.newest!, fingerprint: "" };
    assertEquals(found, { kind: "break", head, removed: "none" });
    assertEquals(others, []);
    assertEquals(await stream.after(b!), [undefined]);
    assertEquals(await stream.after(a!), [{ cause: "trimmed" }, undefined]);
    const tail = await stream.backend.tail(stream.key);
    assertEquals(tail.position!.newest, head);
    await tail.records.cancel();
  });

  Deno.test("redis-stream: a tail at the head of an emptied stream is told of no gap", async () => {
    await using stream = await Stream.open(url);
    await using tail = new Listening(await stream.backend.tail(stream.key));
    await stream.publish("a");
    await tail.until("a");
    await stream.client.xtrim(stream.key, "MAXLEN", 0);
    // The sweep has found the stream shorter; the break is no gap.
    assertEquals(await tail.next(), [undefined]);
    const words = tail.until("b");
    await using other = await Stream.open(url);
    await using broadcast = new Broadcast(url);
    const subscription = await broadcast.subscribe(other.key);
    const rounds = Array.from({ length: 5 }, (_, index) => `round ${index}`);
    for (const round of rounds) {
      await other.add(round);
      assertEquals(await messages(subscription, 1), [round]);
    }
    // Nothing was read in vain meanwhile. Whether more than "b" came after "a" is not known.
    await stream.publish("b");
    assertEquals(await words, [{ cause: "trimmed" }, "b"]);
  });

  Deno.test("redis-stream: a gap with nothing after it is told once", async () => {
    await using stream = await Stream.open(url);
    const [a, b] = await stream.publish("a", "b");
    await stream.client.xtrim(stream.key, "MAXLEN", 0);
    for (const after of [a!, Position.start]) {
      const items = await stream.items(after);
      const head = { ...b!.newest!, fingerprint: "" };
      assertEquals(items.slice(1), [{ kind: "skip", place: head }]);
      const [again, ...others] = await stream.items(items.reduce(positionAfter, after));
      assertEquals(again, { kind: "break", head, removed: "none" });
      assertEquals(others, []);
    }
  });

  Deno.test("redis-stream: a rollback with nothing after it is told once", async () => {
    await using stream = await Stream.open(url);
    const [a] = await stream.publish("a");
    await stream.client.del(stream.key);
    await stream.add("b", "1-0");
    await stream.client.xtrim(stream.key, "MAXLEN", 0);
    const items = await stream.items(a!);
    assertEquals(await stream.after(a!), [{ cause: "rollback" }, undefined]);
    assertEquals(await stream.after(items.reduce(positionAfter, a!)), [undefined]);
  });

  Deno.test("redis-stream: a stream that was deleted is another one", async () => {
    await using stream = await Stream.open(url);
    const [a] = await stream.publish("a");
    await stream.client.del(stream.key);
    const facts = { kind: "break", recreated: true, removed: "unknown" } as const;
    assertEquals(await stream.items(a!), [facts]);
    assertEquals(await stream.after(a!), [{ cause: "reset" }]);
    assertEquals(await stream.after(Position.start), []);
  });

  Deno.test("redis-stream: the same id with another payload is of another stream", async () => {
    await using stream = await Stream.open(url);
    await stream.add("a", "5-0");
    const seen = await stream.head();
    await stream.add("b", "6-0");
    assertEquals(await stream.after(seen), ["b"]);
    await stream.client.del(stream.key);
    for (const [message, id] of [["c", "4-0"], ["d", "5-0"], ["e", "6-0"]] as const) {
      await stream.add(message, id);
    }
    assertEquals(await stream.after(seen), [{ cause: "reset" }, "c", "d", "e"]);
    const [found] = await stream.items(seen);
    const head = (await stream.head()).newest!;
    assertEquals(found, { kind: "break", replaced: true, head, removed: "unknown" });
  });

  Deno.test("redis-stream: a place that was passed over is of a lost timeline", async () => {
    await using stream = await Stream.open(url);
    await stream.add("a", "1-0");
    await stream.add("lost", "5-0");
    const seen = await stream.head();
    // As on a replica that became the master before it had the second entry.
    await stream.client.del(stream.key);
    await stream.add("a", "1-0");
    assertEquals(await stream.after(seen), [{ cause: "rollback" }, "a"]);
    await stream.add("b", "4-0");
    await stream.add("c", "6-0");
    assertEquals(await stream.after(seen), [{ cause: "reset" }, "a", "b", "c"]);
    assertEquals(await stream.after(seen, 2), [{ cause: "reset" }, "a", "b"]);
    const [found] = await stream.items(seen);
    const head = (await stream.head()).newest!;
    assertEquals(found, { kind: "break", replaced: true, head, removed: "unknown" });
    await stream.client.xtrim(stream.key, "MINID", "6-0");
    assertEquals(await stream.after(seen), [{ cause: "trimmed" }, "c"]);
  });

  Deno.test("redis-stream: an entry that was deleted alone is of the same stream", async () => {
    await using stream = await Stream.open(url);
    const [, b] = await stream.publish("a", "b", "c");
    const { at, sub } = b!.newest!;
    await stream.client.xdel(stream.key, `${at}-${sub}`);
    assertEquals(await stream.after(b!), [{ cause: "trimmed" }, "c"]);
  });

  Deno.test("redis-stream: a stream that ends before a position was wiped", async () => {
    await using stream = await Stream.open(url);
    const [a] = await stream.publish("a");
    await stream.client.del(stream.key);
    await stream.add("b", "1-0");
    assertEquals(await stream.after(a!), [{ cause: "rollback" }, "b"]);
    const [found] = await stream.items(a!);
    const head = (await stream.head()).newest!;
    assertEquals(found, { kind: "break", replaced: false, head, removed: "unknown" });
  });

  Deno.test("redis-stream: a live tail learns that its stream was deleted", async () => {
    await using stream = await Stream.open(url);
    await using tail = new Listening(await stream.backend.tail(stream.key));
    await stream.publish("a");
    assertEquals(await tail.until("a"), ["a"]);
    const next = tail.next();
    await stream.client.del(stream.key);
    assertEquals(await next, [{ cause: "reset" }]);
    await stream.add("b", "1-0");
    assertEquals(await tail.until("b"), ["b"]);
  });

  Deno.test("redis-stream: a live tail learns that its stream was recreated", async () => {
    await using stream = await Stream.open(url);
    await using tail = new Listening(await stream.backend.tail(stream.key));
    await stream.publish("a");
    assertEquals(await tail.until("a"), ["a"]);
    const next = tail.until("c");
    await stream.client.multi().del(stream.key)
      .xadd(stream.key, "1-0", "message", "b").xadd(stream.key, "2-0", "message", "c").exec();
    assertEquals(await next, [{ cause: "rollback" }, "b", "c"]);
    await stream.add("d", "3-0");
    assertEquals(await tail.until("d"), ["d"]);
  });

  Deno.test("redis-stream: a live tail that trimming outruns says so", async () => {
    await using stream = await Stream.open(url);
    await stream.publish("first");
    await using tail = new Listening(await stream.backend.tail(stream.key));
    const received = tail.until(`m${BURST - 1}`);
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
  });

  Deno.test("redis-stream: a page between two positions ends before the second", async () => {
    await using stream = await Stream.open(url);
    const [a, b, c, d] = await stream.publish("a", "b", "c", "d");
    const between = async (after: Position, before: Position) => {
      const { items } = await stream.backend.read!(stream.key, { after, before, limit: 10 });
      return items.map((item) => item.kind === "record" ? String(item.payload) : item.kind);
    };
    assertEquals(await between(a!, d!), ["b", "c"]);
    assertEquals(await between(a!, b!), []);
    assertEquals(await between(c!, a!), []);
    assertEquals(await between(Position.start, c!), ["a", "b"]);
    await stream.client.xtrim(stream.key, "MAXLEN", 2);
    assertEquals(await between(a!, c!), ["break"]);
    assertEquals(await between(a!, d!), ["break", "c"]);
  });
}

withBroker("redis", (url) => holes(url.replace(/^(rediss?):/, "$1-stream:")));
