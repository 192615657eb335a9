/** The facts of a break, as the server has them. */

import { assertEquals } from "@std/assert";
import { Pattern } from "../../../../core/backend/pattern.ts";
import { Position } from "../../../../core/backend/position.ts";
import { Broadcast } from "../../../../mod.ts";
import { take } from "../../../conformance/harness.ts";
import { withBroker } from "../../../services/broker.ts";
import { DELETABLE, Log, until } from "./stream.ts";

function facts(url: string): void {
  Deno.test("nats-stream: a record that comes back is no break", async () => {
    await using log = await Log.open(url);
    const [a, b] = await log.publish("x", "a", "b");
    assertEquals(await log.factsAfter("x", a!), undefined);
    assertEquals(await log.items("x", b!), []);
    // That of another channel is looked up, as the tail of a channel without records starts there.
    assertEquals((await log.backend.tail("y")).position, b);
    assertEquals(await log.items("y", b!), []);
  });

  Deno.test("nats-stream: a record that was removed alone is a break without a gap", async () => {
    await using log = await Log.open(url);
    const [a] = await log.publish("x", "a", "b");
    await log.manager.streams.purge(log.name, { seq: 2 });
    assertEquals(await log.factsAfter("x", a!), { recreated: false, removed: "none" });
    assertEquals(await log.after("x", a!), ["b"]);
    const [c] = await log.publish("x", "c");
    await log.manager.streams.deleteMessage(log.name, c!.newest!.at);
    assertEquals(await log.factsAfter("x", c!), { recreated: false, removed: "none" });
    assertEquals(await log.after("x", c!), []);
  });

  Deno.test("nats-stream: records that were removed after a position are not counted", async () => {
    await using log = await Log.open(url);
    const [a] = await log.publish("x", "a", "b", "c");
    await log.manager.streams.purge(log.name, { seq: 3 });
    const expected = { recreated: false, removed: "unknown" } as const;
    assertEquals(await log.factsAfter("x", a!), expected);
    assertEquals(await log.factsAfter(new Pattern("*"), a!), expected);
    assertEquals(await log.factsAfter("x", Position.start), expected);
    // Removed in the middle, where only the server's list of them tells.
    const [d, e] = await log.publish("y", "d", "e", "f");
    await log.manager.streams.deleteMessage(log.name, e!.newest!.at);
    await log.manager.streams.deleteMessage(log.name, d!.newest!.at);
    assertEquals(await log.factsAfter("y", d!), expected);
  });

  Deno.test("nats-stream: a stream that was created again is another one", async () => {
    await using log = await Log.open(url, DELETABLE);
    const [a] = await log.publish("x", "a");
    await log.recreate();
    await log.publish("x", "a");
    assertEquals(await log.factsAfter("x", a!), { recreated: true, removed: "unknown" });
  });

  Deno.test("nats-stream: a deleted stream is another one, whose end is told", async () => {
    await using log = await Log.open(url, DELETABLE);
    const [a] = await log.publish("x", "a");
    await log.manager.streams.delete(log.name);
    const items = await log.items("x", a!);
    assertEquals(items.map(({ kind }) => kind), ["break", "skip"]);
    assertEquals(await log.factsAfter("x", a!), { recreated: true, removed: "unknown" });
  });

  Deno.test("nats-stream: a stream that was set back tells its head", async () => {
    await using log = await Log.open(url);
    const [a, b] = await log.publish("x", "a", "b");
    // A position that the stream has not reached: what a crash of the server took.
    const { fingerprint } = b!.newest!;
    const lost = Position.of({ shard: 0, at: 5, sub: 0, fingerprint });
    const epoch = fingerprint.slice(0, 12);
    assertEquals(await log.factsAfter("x", lost), {
      recreated: false,
      removed: "unknown",
      head: { shard: 0, at: 2, sub: 0, fingerprint: epoch },
    });
    assertEquals(await log.after("x", lost), ["rollback", "a", "b"]);
    assertEquals(await log.after("x", a!), ["b"]);
  });

  Deno.test("nats-stream: another message with the sequence replaced the record", async () => {
    await using log = await Log.open(url);
    const [a, b] = await log.publish("x", "a", "b");
    await log.publish("y", "of another channel");
    const [, epoch] = /^(.{12})/.exec(b!.newest!.fingerprint)!;
    for (const at of [b!.newest!.at, b!.newest!.at + 1]) {
      const lost = Position.of({ shard: 0, at, sub: 0, fingerprint: `${epoch}zzzz` });
      assertEquals(await log.factsAfter("x", lost), {
        recreated: false,
        replaced: true,
        removed: "unknown",
      });
      assertEquals(await log.after("x", lost), ["rollback", "a", "b"]);
    }
    assertEquals(await log.after("x", a!), ["b"]);
  });

  Deno.test("nats-stream: a live tail that fell behind a purge tells the break", async () => {
    await using log = await Log.open(url);
    const tail = await log.backend.tail("x");
    await log.publish("x", "a");
    assertEquals(await until(tail, "a"), ["a"]);
    // More than may wait: the tail has to read the stream again, which has lost some by then.
    const large = "x".repeat(500_000);
    await log.publish("x", ...Array.from({ length: 16 }, (_, number) => `${number}${large}`));
    await log.publish("x", "last");
    await log.manager.streams.purge(log.name, { keep: 1 });
    assertEquals(await until(tail, "last"), ["trimmed", "last"]);
    await (tail.records as { cancel(): Promise<void> }).cancel();
  });

  Deno.test("nats-stream: an id of a stream that was set back resumes with a rollback", async () => {
    await using log = await Log.open(url);
    await using broadcast = new Broadcast(Log.url(url, log.name));
    const id = await broadcast.publish("x", "a");
    // The id of an event with the same sequence and another payload.
    const other = id!.replace(/....$/, "zzzz");
    const subscription = await broadcast.subscribe("x", { after: other });
    const [event] = await take(subscription, 1);
    assertEquals([event!.message, event!.gap?.cause], ["a", "rollback"]);
  });
}

withBroker("nats", facts);
