/** What another realm made, as Jest and `node:vm` do, counts as what it is. */

import { assert, assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { createContext, runInContext } from "node:vm";
import { msgpack } from "../../../core/codec/msgpack.ts";
import { Broadcast, bytes, type Codec, encrypted, json, type Schema, text } from "../../../mod.ts";
import { messages } from "../../conformance/harness.ts";

const realm = createContext({});

/** Runs an expression in another realm. */
function foreign<Value>(expression: string): Value {
  return runInContext(`(${expression})`, realm) as Value;
}

Deno.test("the other realm has classes of its own", () => {
  assert(!(foreign("Promise.resolve()") instanceof Promise));
  assert(!(foreign("new Uint8Array(1)") instanceof Uint8Array));
});

/** Schemas that answer with a promise of another realm, and with what is no promise but has `then()`. */
const SCHEMAS: Record<string, Schema<string>["~standard"]["validate"]> = {
  "a promise": foreign(
    `async (value) => typeof value === "string" ? { value } : { issues: [{ message: "no text" }] }`,
  ),
  "a thenable": foreign(
    `(value) => ({ then(resolve) {
      resolve(typeof value === "string" ? { value } : { issues: [{ message: "no text" }] });
    } })`,
  ),
};

for (const [name, validate] of Object.entries(SCHEMAS)) {
  Deno.test(`a schema that answers with ${name} of another realm is heeded, on both sides`, async () => {
    const schema: Schema<string> = { "~standard": { version: 1, vendor: "foreign", validate } };
    await using broadcast = new Broadcast("memory://other-realm", { channels: { c: schema } });
    await using stranger = new Broadcast("memory://other-realm", { codec: json() });
    const errors: string[] = [];
    broadcast.addEventListener("messageerror", ({ error }) => errors.push(`${error}`));
    const subscription = await broadcast.subscribe("c");
    await assertRejects(() => broadcast.publish("c", 1 as never), TypeError, "no text");
    await stranger.publish("c", 1);
    await broadcast.publish("c", "m");
    assertEquals(await messages(subscription, 1), ["m"]);
    assertEquals(errors, ['ValidationError: Cannot accept message of "c": no text']);
  });
}

Deno.test("a codec may answer with promises and bytes of another realm", async () => {
  const codec: Codec<string> = {
    name: "foreign",
    encode: foreign(`async (message) => new Uint8Array([...message].map((c) => c.charCodeAt(0)))`),
    decode: foreign(
      `(payload) => ({ then(resolve) { resolve(String.fromCharCode(...payload)) } })`,
    ),
  };
  await using broadcast = new Broadcast("memory://", { codec });
  const subscription = await broadcast.subscribe("c");
  const sent = ["1", "2", "3"];
  await Promise.all(sent.map((one) => broadcast.publish("c", one)));
  assertEquals(await messages(subscription, 3), sent);
});

Deno.test("what seals and unseals may answer with promises of another realm", async () => {
  const own = encrypted(text(), { current: "k", keys: { k: new Uint8Array(32) } });
  const wrap = foreign<(call: (...args: never[]) => unknown) => never>(
    `(call) => (...args) => ({ then: (resolve, reject) => void call(...args).then(resolve, reject) })`,
  );
  const codec: Codec<string> = {
    name: "foreign",
    encode: wrap(own.encode),
    decode: wrap(own.decode),
    seal: wrap(own.seal!),
    unseal: wrap(own.unseal!),
  };
  await using broadcast = new Broadcast("memory://", { codec });
  const subscription = await broadcast.subscribe("c");
  const writer = broadcast.writable("c", { end: "over" }).getWriter();
  await writer.write("m");
  await writer.close();
  const received: string[] = [];
  for await (const { message } of subscription) received.push(message);
  assertEquals([received, subscription.endReason], [["m"], "over"]);
});

Deno.test("bytes, dates, objects, headers and keys of another realm are published", async () => {
  const key = foreign<Uint8Array>("new Uint8Array(32)");
  await using raw = new Broadcast("memory://", { codec: bytes() });
  const rawly = await raw.subscribe("c");
  await raw.publish("c", foreign("Uint8Array.of(1, 2)"), { headers: foreign(`({ a: "b" })`) });
  const [payload] = await messages(rawly, 1);
  assertInstanceOf(payload, Uint8Array);
  assertEquals([...payload], [1, 2]);

  const codec = encrypted(msgpack(), { current: "k", keys: { k: key } });
  await using broadcast = new Broadcast("memory://", { codec });
  const subscription = await broadcast.subscribe("c");
  await broadcast.publish(
    "c",
    foreign(`({ at: new Date(5), bytes: Uint8Array.of(1), list: [-0] })`),
  );
  assertEquals(await messages(subscription, 1), [
    { at: new Date(5), bytes: Uint8Array.of(1), list: [-0] },
  ]);
});

Deno.test("a codec that returns neither text nor bytes is told so, and nothing is sent", async () => {
  for (const [value, kind] of [[1, "a number"], [null, "null"], [[1], "an Array"]] as const) {
    for (const given of [value, Promise.resolve(value)]) {
      const codec = { name: "wrong", encode: () => given as never, decode: text().decode };
      await using broadcast = new Broadcast("memory://", { codec });
      const { message } = await assertRejects(() => broadcast.publish("c", "m"), TypeError);
      assertEquals(
        message,
        `Cannot publish to "c": codec wrong has returned ${kind}, not a string or a Uint8Array`,
      );
      assertEquals(await broadcast.history("c"), []);
    }
  }
});
