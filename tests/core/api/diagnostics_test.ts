/** `node:diagnostics_channel`: what a broadcast does is published, once it is known how it went. */

import diagnostics from "node:diagnostics_channel";
import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { Broadcast } from "../../../mod.ts";
import { messages, numbered, publishAll, take } from "../../conformance/harness.ts";
import { state } from "../../backends/rig.ts";
import { FakeBackend } from "../log/fake.ts";

type Notice = Record<string, unknown>;

Deno.test("publish() is told with its id and its time, also the very first one", async () => {
  using heard = listen("publish");
  await using broadcast = new Broadcast("memory://");
  const id = await broadcast.publish("c", "x");
  const [{ duration, ...notice }] = heard.notices as [Notice];
  assertEquals(notice, { broadcast, channel: "c", id });
  assertStrictEquals(notice.broadcast, broadcast);
  assert(duration as number > 0);
  await publishAll(broadcast, "c", numbered(3));
  assertEquals(heard.notices.length, 4);
});

Deno.test("publish() that is refused is told with the error that the caller gets", async () => {
  using heard = listen("publish");
  await using broadcast = new Broadcast("memory://");
  const error = await assertRejects(() => broadcast.publish("c", "\ud800"), TypeError);
  assertEquals(heard.notices.map((notice) => notice.error), [error]);
});

Deno.test("subscribe() is told with its target, whether it succeeds or not", async () => {
  using heard = listen("subscribe");
  await using broadcast = new Broadcast("memory://?history=0");
  const pattern = { pattern: "room.*" };
  await broadcast.subscribe(pattern);
  const error = await assertRejects(() => broadcast.subscribe("c", { history: 1 }), TypeError);
  const told = heard.notices.map(({ duration: _, ...notice }) => notice);
  assertEquals(told, [{ broadcast, target: pattern }, { broadcast, target: "c", error }]);
});

Deno.test("a gap is told once, as by the event `gap`", async () => {
  using heard = listen("gap");
  await using broadcast = new Broadcast("memory://");
  const subscription = await broadcast.subscribe("c", { after: "of no channel" });
  await broadcast.publish("c", "x");
  await take(subscription, 1);
  assertEquals(heard.notices, [{ broadcast, channel: "c", gap: { cause: "unknown" } }]);
});

Deno.test("a lost connection is told when it is lost, and when it is back", async () => {
  using heard = listen("reconnect");
  const backend = new Connected();
  await using broadcast = new Broadcast(backend);
  await broadcast.connect();
  const back = state(broadcast, "connected");
  backend.answer = Promise.reject(new Error("reset by peer"));
  assertEquals((await broadcast.health()).ok, false);
  await back;
  const [lost, found] = heard.notices as [Notice, Notice];
  assertEquals(lost, { broadcast, state: "reconnecting", error: lost.error });
  assertEquals((lost.error as Error).message, "reset by peer");
  assertEquals({ ...found, duration: 0 }, { broadcast, state: "connected", duration: 0 });
  assert(found.duration as number > 0);
  assertEquals(heard.notices.length, 2);
});

Deno.test("who stops to listen hears no more", async () => {
  const heard = listen("publish");
  await using broadcast = new Broadcast("memory://");
  await broadcast.publish("c", "x");
  heard[Symbol.dispose]();
  await broadcast.publish("c", "y");
  assertEquals(heard.notices.length, 1);
});

Deno.test("a listener changes nothing of what is published and received", async () => {
  using _ = listen("publish");
  await using broadcast = new Broadcast("memory://");
  const subscription = await broadcast.subscribe("c");
  const ids = await Promise.all(numbered(20).map((one) => broadcast.publish("c", one)));
  assertEquals(await messages(subscription, 20), numbered(20));
  assertEquals(new Set(ids).size, 20);
});

/** Collects the notices of a channel. */
function listen(name: string): { readonly notices: Notice[] } & Disposable {
  const notices: Notice[] = [];
  const hear = (notice: unknown) => void notices.push(notice as Notice);
  diagnostics.subscribe(`broadcaster:${name}`, hear);
  return {
    notices,
    [Symbol.dispose]: () => void diagnostics.unsubscribe(`broadcaster:${name}`, hear),
  };
}

/** A backend whose connection can be lost. */
class Connected extends FakeBackend {
  answer: Promise<void> | undefined;

  connect(): Promise<void> {
    this.answer = undefined;
    return Promise.resolve();
  }

  probe(): Promise<void> {
    return this.answer ?? Promise.resolve();
  }
}
