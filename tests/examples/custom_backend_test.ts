/** The example of a backend registers its cases itself; here are the breaks of its log. */

import { assertEquals } from "@std/assert";
import { CustomBackend } from "../../examples/custom_backend.ts";
import { Position } from "../../core/backend/position.ts";
import { Broadcast } from "../../mod.ts";
import { take, uniqueChannel } from "../conformance/harness.ts";

/** How many records the example keeps of a channel. */
const KEPT = 10_000;

Deno.test("the example's log tells exactly how many records it has removed", async () => {
  const channel = uniqueChannel();
  await using publisher = new Broadcast(new CustomBackend());
  const ids = await Promise.all(
    Array.from({ length: KEPT + 5 }, (_, number) => publisher.publish(channel, `${number}`)),
  );
  await using broadcast = new Broadcast(new CustomBackend());
  for (const [seen, missed] of [[0, 4], [3, 1]] as const) {
    await using resumed = await broadcast.subscribe(channel, { after: ids[seen] });
    const [event] = await take(resumed, 1);
    assertEquals([event!.message, event!.gap?.cause, event!.gap?.missed], ["5", "trimmed", missed]);
  }
  // The record itself was removed, but none after it.
  await using whole = await broadcast.subscribe(channel, { after: ids[4] });
  const [event] = await take(whole, 1);
  assertEquals([event!.message, event!.gap], ["5", undefined]);
});

Deno.test("the example's log tells that it is another one, or ends before a position", async () => {
  const channel = uniqueChannel();
  const backend = new CustomBackend();
  const [first, last] = await Promise.all(backend.publish([
    { channel, payload: "a" },
    { channel, payload: "b" },
  ]));
  const head = last!.newest!;
  const found = async (after: Position) => {
    const { items } = await backend.read(channel, { after, limit: 10 });
    return items.map((item) => item.kind === "record" ? item.payload : item);
  };
  assertEquals(await found(first!), ["b"]);
  assertEquals(await found(Position.start), [
    { kind: "break", replaced: false, removed: 0, head },
    "a",
    "b",
  ]);
  assertEquals(await found(Position.of({ ...first!.newest!, fingerprint: "another" })), [
    { kind: "break", replaced: true, removed: 0, head },
    "a",
    "b",
  ]);
  assertEquals(await found(Position.of({ ...head, at: 7 })), [
    { kind: "break", replaced: false, removed: 0, head },
    "a",
    "b",
  ]);
});
