/** `health()`: whether the broker answers, as a result and never as an error. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { Broadcast } from "../../../mod.ts";
import { FakeBackend } from "../log/fake.ts";

Deno.test("a broadcast that was not used connects, and is ok", async () => {
  await using broadcast = new Broadcast("memory://");
  const before = Date.now();
  const health = await broadcast.health();
  assertEquals(health, { ok: true, state: "connected", since: health.since });
  assert(health.since >= before && health.since <= Date.now());
  assertEquals(await broadcast.health(), health);
});

Deno.test("a broker that answers has a latency", async () => {
  await using broadcast = new Broadcast(new Probed());
  const { ok, latency, reason } = await broadcast.health();
  assertEquals([ok, reason], [true, undefined]);
  assert(latency! >= 0 && latency! < 5_000, `${latency}`);
});

Deno.test("a broker that cannot be reached is a result, with the reason", async () => {
  const backend = new Probed();
  backend.connecting = () => Promise.reject(new Error("nobody there"));
  await using broadcast = new Broadcast(backend);
  const { ok, state, reason, latency } = await broadcast.health();
  assertEquals([ok, state, latency], [false, "idle", undefined]);
  assertEquals(reason, "Cannot connect to fake://: nobody there");
  backend.connecting = () => Promise.resolve();
  assertEquals((await broadcast.health()).ok, true);
});

Deno.test("a lost connection is told at once, and not waited for", async () => {
  const backend = new Probed();
  await using broadcast = new Broadcast(backend);
  await broadcast.health();
  backend.connecting = () => new Promise(() => {});
  backend.asking = () => Promise.reject(new Error("reset by peer"));
  const during = await broadcast.health();
  assertEquals([during.ok, during.state, during.reason], [false, "reconnecting", "reset by peer"]);
  const later = await broadcast.health();
  assertEquals([later.ok, later.state], [false, "reconnecting"]);
  assertEquals(later.reason, "not connected to fake://, reset by peer");
  assert(later.since >= during.since);
});

Deno.test("a signal that aborts is a result, and harms no connection", async () => {
  const backend = new Probed();
  await using broadcast = new Broadcast(backend);
  await broadcast.connect();
  const gate = Promise.withResolvers<void>();
  backend.asking = (signal) => {
    signal.addEventListener("abort", () => gate.reject(signal.reason));
    return gate.promise;
  };
  const abort = new AbortController();
  const asked = broadcast.health({ signal: abort.signal });
  abort.abort(new Error("a second is over"));
  const { ok, state, reason } = await asked;
  assertEquals([ok, state, reason], [false, "connected", "a second is over"]);
  gate.resolve();
  assertEquals((await broadcast.health()).ok, true);
  assertEquals((await broadcast.health({ signal: abort.signal })).reason, "a second is over");
});

Deno.test("those who ask at a time share one question", async () => {
  const backend = new Probed();
  await using broadcast = new Broadcast(backend);
  await broadcast.connect();
  const all = await Promise.all(Array.from({ length: 10 }, () => broadcast.health()));
  assertEquals(all.every(({ ok }) => ok), true);
  assertEquals(backend.asked, 1);
  await broadcast.health();
  assertEquals(backend.asked, 2);
});

Deno.test("a backend that works with less than usual is ok, and says why", async () => {
  const backend = new Probed();
  await using broadcast = new Broadcast(backend);
  backend.warning = new Error("it polls");
  const { ok, reason } = await broadcast.health();
  assertEquals([ok, reason], [true, "it polls"]);
});

Deno.test("a broadcast that is disconnected is not ok", async () => {
  const broadcast = new Broadcast("memory://");
  await broadcast.disconnect();
  const { ok, state, reason } = await broadcast.health();
  assertEquals([ok, state], [false, "closed"]);
  assertEquals(reason, "Cannot use broadcast: it is disconnected, make a new one");
});

Deno.test("disconnect() ends a question that is not answered", async () => {
  const backend = new Probed();
  const broadcast = new Broadcast(backend);
  await broadcast.connect();
  backend.asking = () => new Promise(() => {});
  const asked = broadcast.health();
  await broadcast.disconnect();
  const { ok, state } = await asked;
  assertEquals([ok, state], [false, "closed"]);
});

Deno.test("wrong options are errors of the caller", async () => {
  await using broadcast = new Broadcast("memory://");
  await assertRejects(() => broadcast.health(1 as never), TypeError);
  await assertRejects(() => broadcast.health({ signal: 1 as never }), TypeError);
});

/** A backend with a connection, which is asked for a sign of life. */
class Probed extends FakeBackend {
  asked = 0;
  warning: Error | undefined = undefined;
  connecting: () => Promise<void> = () => Promise.resolve();
  asking: (signal: AbortSignal) => Promise<void> = () => Promise.resolve();

  connect(): Promise<void> {
    return this.connecting();
  }

  probe(signal: AbortSignal): Promise<void> {
    this.asked++;
    return this.asking(signal);
  }
}
