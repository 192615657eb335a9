/** A codec or schema that never settles stops its own channel for a while, and nothing else. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { controlOf } from "../../../core/api/control.ts";
import { Broadcast, type Codec, type Schema, text } from "../../../mod.ts";
import { messages, within } from "../../conformance/harness.ts";

/** Encodes asynchronously; what begins with "stuck" is encoded never. */
const encoding: Codec<string> = {
  name: "stuck",
  encode: (message) => message.startsWith("stuck") ? new Promise<never>(() => {}) : later(message),
  decode: text().decode,
};

/** Decodes asynchronously; what begins with "stuck" is decoded never. */
const decoding: Codec<string> = {
  name: "stuck",
  encode: text().encode,
  decode(payload) {
    const message = text().decode(payload);
    return message.startsWith("stuck") ? new Promise<never>(() => {}) : later(message);
  },
};

const URL = "memory://?timeout=0&linger=0";

function later<Value>(value: Value): Promise<Value> {
  return Promise.resolve().then(() => value);
}

Deno.test("a message that is never encoded holds back its own channel alone, and is rejected", async () => {
  await using broadcast = new Broadcast(URL, { codec: encoding });
  const [stuck, other] = [await broadcast.subscribe("stuck"), await broadcast.subscribe("other")];
  const outcomes = ["1", "stuck", "2", "3"].map((one) => broadcast.publish("stuck", one));
  const late = assertRejects(() => outcomes[1]!, DOMException);
  await broadcast.publish("other", "m");
  assertEquals(await messages(other, 1), ["m"]);
  assertEquals(await messages(stuck, 1), ["1"]);
  const { name, message } = await within(late, 5_000);
  assertEquals(name, "TimeoutError");
  assertEquals(message, 'Cannot publish to "stuck": its codec, or schema, did not settle for 1 s');
  assertEquals(await messages(stuck, 2), ["2", "3"]);
});

Deno.test("many messages of a channel that are never encoded are rejected together", async () => {
  await using broadcast = new Broadcast(URL, { codec: encoding });
  const started = performance.now();
  const stuck = Array.from({ length: 100 }, () => broadcast.publish("c", "stuck"));
  const outcomes = await within(Promise.allSettled(stuck), 5_000);
  assert(outcomes.every(({ status }) => status === "rejected"));
  assert(performance.now() - started < 3_000);
  await broadcast.publish("c", "m");
});

Deno.test("a signal rejects a message while it is encoded, and those behind it go on", async () => {
  await using broadcast = new Broadcast("memory://", { codec: encoding });
  const subscription = await broadcast.subscribe("c");
  const controller = new AbortController();
  const { signal } = controller;
  const stuck = assertRejects(() => broadcast.publish("c", "stuck", { signal }), Error, "enough");
  const behind = assertRejects(() => broadcast.publish("c", "behind", { signal }), Error, "enough");
  const free = broadcast.publish("c", "free");
  controller.abort(new Error("enough"));
  await within(Promise.all([stuck, behind, free]), 5_000);
  assertEquals(await messages(subscription, 1), ["free"]);
});

Deno.test("disconnect() ends in time, though a message is never encoded", async () => {
  const broadcast = new Broadcast(URL, { codec: encoding });
  await broadcast.connect();
  const stuck = assertRejects(
    () => broadcast.publish("c", "stuck"),
    DOMException,
    "did not settle",
  );
  const behind = broadcast.publish("c", "behind");
  await within(broadcast.disconnect(), 5_000);
  await stuck;
  await behind;
});

Deno.test("the end of a channel and its control messages keep the order of its messages", async () => {
  const waiting: (() => void)[] = [];
  const codec: Codec<string> = {
    name: "gate",
    encode: (message) =>
      message === "gate" ? new Promise((resolve) => waiting.push(() => resolve(message))) : message,
    decode: text().decode,
  };
  await using broadcast = new Broadcast("memory://", { codec });
  const order: string[] = [];
  const note = (name: string) => () => void order.push(name);
  const subscription = await broadcast.subscribe("c");
  const writer = broadcast.writable("c", { end: "over" }).getWriter();
  await writer.write("first");
  const all = [
    broadcast.publish("c", "gate").then(note("gate")),
    broadcast.publish("c", "behind").then(note("message")),
    controlOf(broadcast).publish("c", "control").then(note("control")),
    broadcast.publish("other", "m").then(note("other")),
  ];
  const closed = writer.close().then(note("end"));
  await all[3];
  assertEquals(order, ["other"]);
  waiting[0]!();
  await Promise.all([...all, closed]);
  assertEquals(order, ["other", "gate", "message", "control", "end"]);
  assertEquals(await messages(subscription, 3), ["first", "gate", "behind"]);
  for await (const _ of subscription);
  assertEquals(subscription.endReason, "over");
});

Deno.test("a schema that never settles is rejected at publish as well", async () => {
  const never: Schema<string> = {
    "~standard": { version: 1, vendor: "test", validate: () => new Promise<never>(() => {}) },
  };
  await using broadcast = new Broadcast(URL, { channels: { never } });
  await within(
    assertRejects(() => broadcast.publish("never", "m"), DOMException, "did not settle for 1 s"),
    5_000,
  );
});

Deno.test("many messages that take their time one after the other are not late", async () => {
  let turn = Promise.resolve();
  const codec: Codec<string> = {
    name: "slow",
    encode: (message) => {
      turn = turn.then(() => new Promise((resolve) => setTimeout(resolve, 60)));
      return turn.then(() => message);
    },
    decode: text().decode,
  };
  await using broadcast = new Broadcast(URL, { codec });
  await Promise.all(Array.from({ length: 30 }, (_, number) => broadcast.publish("c", `${number}`)));
  assertEquals((await broadcast.history("c")).length, 30);
});

Deno.test("a payload that is never decoded is reported and skipped, and stops no other channel", async () => {
  await using broadcast = new Broadcast(URL, { codec: decoding });
  const errors: unknown[] = [];
  broadcast.addEventListener("messageerror", ({ error }) => errors.push(`${error}`));
  const [stuck, other] = [await broadcast.subscribe("stuck"), await broadcast.subscribe("other")];
  for (const one of ["stuck", "next"]) await broadcast.publish("stuck", one);
  await broadcast.publish("other", "m");
  assertEquals(await messages(other, 1), ["m"]);
  assertEquals(errors, []);
  assertEquals(await within(messages(stuck, 1), 5_000), ["next"]);
  assertEquals(errors, [
    "TimeoutError: Cannot decode payload: its codec, or schema, did not settle for 1 s",
  ]);
});

Deno.test("disconnect(), close() and a new subscription do not wait for what is never decoded", async () => {
  const broadcast = new Broadcast("memory://?linger=0", { codec: decoding });
  const one = await broadcast.subscribe("c");
  await broadcast.publish("c", "stuck");
  one.close();
  const other = await within(broadcast.subscribe("c"), 2_000);
  await broadcast.publish("c", "fine");
  assertEquals(await messages(other, 1), ["fine"]);
  const history = assertRejects(() => broadcast.history("c"), Error, "it is disconnected");
  await broadcast.publish("c", "stuck");
  await within(broadcast.disconnect(), 2_000);
  await within(history, 2_000);
});
