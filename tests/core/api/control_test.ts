/** Control payloads: past codec and schema, and out of reach of those who use the channel. */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { controlOf } from "../../../core/api/control.ts";
import { controlChannelOf } from "../../../core/backend/control_channel.ts";
import { Pattern } from "../../../core/backend/pattern.ts";
import { Broadcast, bytes, encrypted, json, type Schema } from "../../../mod.ts";
import { messages, take, uniqueChannel } from "../../conformance/harness.ts";

const CHANNEL = "room.1";
const KEYS = { current: "now", keys: { now: new Uint8Array(32).fill(7) } };

Deno.test("control payloads pass neither codec nor schema", async () => {
  const never: Schema<string> = {
    "~standard": { version: 1, vendor: "test", validate: () => ({ issues: [{ message: "no" }] }) },
  };
  await using broadcast = new Broadcast("memory://", { channels: { [CHANNEL]: never } });
  await assertRejects(() => broadcast.publish(CHANNEL, "a"), TypeError);
  const control = controlOf(broadcast);
  const subscription = await control.subscribe(CHANNEL);
  const id = await control.publish(CHANNEL, Uint8Array.of(0, 255));
  const [event] = await take(subscription, 1);
  assertEquals([event!.id, event!.message], [id, Uint8Array.of(0, 255)]);
  const late = await control.subscribe(CHANNEL, { history: 5 });
  assertEquals(await messages(late, 1), [Uint8Array.of(0, 255)]);
});

Deno.test("a control channel has no end: its bytes arrive as they are", async () => {
  await using broadcast = new Broadcast("memory://", { codec: bytes() });
  const control = controlOf(broadcast);
  const subscription = await control.subscribe(CHANNEL);
  const all = [[0xc1, 0x2e], [0xc1, 0x73, 1], []].map((one) => Uint8Array.from(one));
  for (const one of all) await control.publish(CHANNEL, one);
  assertEquals(await messages(subscription, all.length), all);
});

Deno.test("an end cannot be moved to a control channel, nor a control payload to its channel", async () => {
  const codec = encrypted(json(), KEYS);
  const mark = await codec.seal!(Uint8Array.of(0xc1, 0x2e), CHANNEL);
  await assertRejects(async () => await codec.unseal!(mark, controlChannelOf(CHANNEL)), Error);
  const url = `memory://${uniqueChannel()}`;
  await using broadcast = new Broadcast(url, { codec });
  await using stranger = new Broadcast(url, { codec: bytes() });
  const errors: string[] = [];
  broadcast.addEventListener("messageerror", ({ channel }) => errors.push(channel));
  const own = await controlOf(broadcast).subscribe(CHANNEL);
  const seen = await controlOf(stranger).subscribe(CHANNEL);
  const subscription = await broadcast.subscribe(CHANNEL);
  await controlOf(broadcast).publish(CHANNEL, Uint8Array.of(0xc1, 0x2e));
  const [sealed] = await messages(seen, 1);
  await stranger.publish(CHANNEL, sealed as Uint8Array<ArrayBuffer>);
  await controlOf(stranger).publish(CHANNEL, mark);
  await broadcast.publish(CHANNEL, "goes on");
  await controlOf(broadcast).publish(CHANNEL, "goes on");
  assertEquals(await messages(subscription, 1), ["goes on"]);
  assertEquals((await messages(own, 2)).map((one) => (one as Uint8Array).length), [2, 7]);
  assertEquals(errors, [CHANNEL, CHANNEL]);
});

Deno.test("users have no control channels, and no pattern stands for one", async () => {
  await using broadcast = new Broadcast("memory://");
  const name = controlChannelOf(CHANNEL);
  const reserved = `"${name}": the library reserves names that end like that`;
  const problems: [() => Promise<unknown>, string][] = [
    [() => broadcast.publish(name, "a"), "Cannot publish to channel"],
    [() => broadcast.subscribe(name), "Cannot subscribe to channel"],
    [() => broadcast.subscribe(["a", name]), "Cannot subscribe to channel"],
    [() => broadcast.subscribe({ pattern: name }), "Cannot subscribe to pattern"],
    [() => broadcast.history(name), "Cannot read history of channel"],
    [() => controlOf(broadcast).publish(name, "a"), "Cannot publish to channel"],
  ];
  for (const [call, cannot] of problems) {
    const { message } = await assertRejects(call, TypeError);
    assertEquals(message, `${cannot} ${reserved}`);
  }
  assertThrows(() => broadcast.writable(name), TypeError, reserved);
  for (const pattern of ["*", `${CHANNEL}*`, `*${name.slice(-3)}`]) {
    assertEquals(new Pattern(pattern).matches(name), false);
    // It is the whole suffix that counts.
    assertEquals(new Pattern(pattern).matches(`${CHANNEL}.${name.slice(-3)}`), true);
  }
});

Deno.test("control channels end with the broadcast, and with their signal", async () => {
  const broadcast = new Broadcast("memory://");
  const control = controlOf(broadcast);
  const subscription = await control.subscribe(CHANNEL);
  const abort = new AbortController();
  const aborted = await control.subscribe(CHANNEL, { signal: abort.signal });
  abort.abort(new Error("left"));
  await assertRejects(() => messages(aborted, 1), Error, "left");
  const gone = messages(subscription, 1);
  await broadcast.disconnect();
  assertEquals(await gone, []);
  await assertRejects(() => control.publish(CHANNEL, "a"), Error, "it is disconnected");
  await assertRejects(() => control.subscribe(CHANNEL), Error, "it is disconnected");
  assertThrows(() => controlOf({}), TypeError, "argument broadcast is not a Broadcast");
});
