/** A log that loses its end goes on at the newest record that it still shares with this process. */

import { assertEquals } from "@std/assert";
import { newestShared } from "../../../core/log/shared_place.ts";
import { Broadcast } from "../../../mod.ts";
import { messages, numbered } from "../../conformance/harness.ts";
import { FakeBackend, FakeLog } from "./fake.ts";

for (const asks of [true, false]) {
  const tail = asks ? "a tail that polls" : "a tail that is told";

  Deno.test(`${tail}: a log that lost 3 of 500 events repeats none of the others`, async () => {
    const backend = new FakeBackend({ asks, connected: true });
    await using broadcast = new Broadcast(backend);
    const gaps: string[] = [];
    const subscription = await broadcast.subscribe("c", { onGap: ({ cause }) => gaps.push(cause) });
    for (const message of numbered(500)) backend.append("c", message);
    assertEquals((await messages(subscription, 500)).at(-1), "m499");
    backend.log("c").cut(0, 3);
    // A tail that is told hears of it when it opens again.
    if (!asks) backend.lose("c");
    for (const message of ["a", "b", "c", "d"]) backend.append("c", message);
    assertEquals(await messages(subscription, 4), ["a", "b", "c", "d"]);
    assertEquals(gaps, ["reset"]);
  });
}

Deno.test("who resumes after an event that was lost goes on at the newest that was not", async () => {
  const backend = new FakeBackend({ asks: true, connected: true });
  await using broadcast = new Broadcast(backend);
  const subscription = await broadcast.subscribe("c");
  for (const message of numbered(20)) backend.append("c", message);
  let last = "";
  for await (const { id, message } of subscription.values({ preventCancel: true })) {
    last = id;
    if (message === "m19") break;
  }
  backend.log("c").cut(0, 5);
  for (const message of ["a", "b", "c"]) backend.append("c", message);
  assertEquals(await messages(subscription, 3), ["a", "b", "c"]);
  const resumed = await broadcast.subscribe("c", { after: last });
  assertEquals(await messages(resumed, 3), ["a", "b", "c"]);
});

Deno.test("a reader that is in the newest log already is not given it again", async () => {
  const backend = new FakeBackend({ namesLog: true, connected: true });
  await using broadcast = new Broadcast(backend, { buffer: 4 });
  const stalled = await broadcast.subscribe("c");
  const watching = await broadcast.subscribe("c");
  for (const message of numbered(20)) backend.append("c", message);
  await messages(watching, 20);
  backend.wipe("c");
  for (const message of numbered(20, "n")) backend.append("c", message);
  await messages(watching, 20);
  // The tail does not hear of the second time.
  const log = backend.log("c");
  log.wipe();
  for (const message of numbered(3, "x")) log.append(0, message);
  assertEquals(await messages(stalled, 3), numbered(3, "x"));
  backend.lose("c");
  assertEquals(await messages(watching, 3), numbered(3, "x"));
  backend.append("c", "last");
  assertEquals(await messages(stalled, 1), ["last"]);
});

Deno.test("the newest shared place lies before the first record that differs", async () => {
  const log = new FakeLog({});
  const held = numbered(600).map((message) => log.append(0, message).place);
  const find = () =>
    newestShared({ items: (options) => Promise.resolve(log.read(options)) }, log.end, held);
  assertEquals((await find())?.at, 600);
  log.cut(0, 250);
  assertEquals((await find())?.at, 350);
  for (const message of numbered(400, "n")) log.append(0, message);
  assertEquals((await find())?.at, 350);
  log.trim(0, 100);
  assertEquals(
    (await find())?.at,
    350,
    "those that are removed since prove nothing, the others do",
  );
  log.wipe();
  for (const message of numbered(600)) log.append(0, message);
  assertEquals(await find(), undefined);
});
