/** What strangers may ask of channels in memory takes nothing from the channels in use. */

import { assertEquals, assertNotEquals } from "@std/assert";
import { MemoryBackend } from "../../../backends/memory/log.ts";
import type { Position } from "../../../core/backend/position.ts";
import { Broadcast } from "../../../mod.ts";
import { messages, take } from "../../conformance/harness.ts";

Deno.test("reading 150,000 channels that have nothing makes no other channel forget", async () => {
  const backend = new MemoryBackend();
  await using broadcast = new Broadcast(backend);
  const text = "x".repeat(1_000);
  for (let count = 0; count < 100; count++) await broadcast.publish("busy", `${count} ${text}`);
  // What `history()` asks, without the turns of the event loop that it takes.
  for (let count = 0; count < 150_000; count++) {
    await backend.read!(`random ${count}`, { limit: 1 });
  }
  await broadcast.publish("busy", "last");
  assertEquals((await broadcast.history("busy", { limit: 1_000 })).length, 101);
});

Deno.test("tails of 150,000 channels that have nothing make no other channel forget", async () => {
  const backend = new MemoryBackend();
  await using broadcast = new Broadcast(backend);
  await broadcast.publish("busy", "first");
  for (let count = 0; count < 150_000; count++) {
    const { records } = await backend.tail(`random ${count}`);
    await records.cancel();
  }
  await broadcast.publish("busy", "last");
  assertEquals((await broadcast.history("busy")).length, 2);
});

Deno.test("a channel that was read before its first message is resumed without a gap", async () => {
  const backend = new MemoryBackend();
  await using broadcast = new Broadcast(backend);
  await using other = new Broadcast(backend);
  assertEquals(await broadcast.history("c"), []);
  const subscription = await broadcast.subscribe("c", { history: 5 });
  const { from } = await backend.read!("c", { limit: 1 });
  await other.publish("c", "1");
  await other.publish("c", "2");
  assertEquals(await messages(subscription, 2), ["1", "2"]);
  const { items } = await backend.read!("c", { after: from, limit: 10 });
  assertEquals(items.map(({ kind }) => kind), ["record", "record"]);
  const [first] = await broadcast.history("c", { limit: 2 });
  const resumed = await broadcast.subscribe("c", { after: first!.id });
  const [event] = await take(resumed, 1);
  assertEquals([event!.message, event!.gap], ["2", undefined]);
});

Deno.test("a channel whose log was deleted is another one, also to those who saw nothing of it", async () => {
  const backend = new MemoryBackend();
  const publish = (channel: string, payload: string) =>
    backend.publish([{ channel, payload }]) as readonly Position[];
  const [old] = publish("c", "old");
  // Until the log of `c` is the one that is deleted.
  for (let count = 0; count < 70; count++) publish(`other ${count}`, "x".repeat(1_000_000));
  const { from, items } = await backend.read!("c", { limit: 1 });
  assertEquals(items, []);
  await publish("c", "new");
  const page = await backend.read!("c", { after: old!, limit: 10 });
  assertEquals(page.items.map(({ kind }) => kind), ["break", "record"]);
  assertNotEquals(from.newest!.fingerprint, old!.newest!.fingerprint);
  const fresh = await backend.read!("c", { after: from, limit: 10 });
  assertEquals(fresh.items.map(({ kind }) => kind), ["record"]);
  await backend.close();
});
