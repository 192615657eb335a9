/** Schemas of three makers: what they accept is published, what they make of it is received. */

import { assertEquals, assertInstanceOf, assertRejects, assertThrows } from "@std/assert";
import { type } from "npm:arktype@^2.1.0";
import * as v from "npm:valibot@^1.1.0";
import { z } from "npm:zod@^4.1.0";
import { MemoryBackend } from "../../../backends/memory/log.ts";
import { msgpack } from "../../../core/codec/msgpack.ts";
import {
  Broadcast,
  type BroadcastEvent,
  type ChannelName,
  type ChannelsOf,
  type Codec,
  encrypted,
  json,
  type Schema,
  ValidationError,
} from "../../../mod.ts";
import { messages } from "../../conformance/harness.ts";

const channels = {
  chatroom: z.object({ user: z.string(), text: z.string().min(1) }),
  "price:*": v.number(),
  "price:gold:history": v.array(v.number()),
  login: type({ name: "string", "admin?": "boolean" }),
  at: z.iso.datetime().transform((text) => new Date(text)),
};

type Same<One, Other> = (<T>() => T extends One ? 1 : 2) extends (<T>() => T extends Other ? 1 : 2)
  ? true
  : false;

/** Compiles if both types are the same. */
function same<One, Other>(..._same: Same<One, Other> extends true ? [] : [never]): void {}

/** Compiles, and never runs. */
function compiles(_body: () => unknown): void {}

Deno.test("schemas say what the messages of each channel are", async () => {
  await using broadcast = new Broadcast("memory://", { channels });
  const chats = await broadcast.subscribe("chatroom");
  const prices = await broadcast.subscribe("price:gold");
  const times = await broadcast.subscribe("at");
  await broadcast.publish("chatroom", { user: "ada", text: "hello" });
  await broadcast.publish("price:gold", 2_650);
  await broadcast.publish("at", "2026-11-26T12:00:00Z");
  for await (const { message } of chats) {
    same<typeof message, { user: string; text: string }>();
    assertEquals(message, { user: "ada", text: "hello" });
    break;
  }
  for await (const event of prices) {
    same<typeof event, BroadcastEvent<number, "price:gold">>();
    assertEquals(event.message, 2_650);
    break;
  }
  for await (const { message } of times) {
    // A text is published, and a date is received.
    same<typeof message, Date>();
    assertEquals(message, new Date("2026-11-26T12:00:00Z"));
    break;
  }
  compiles(async () => {
    const both = await broadcast.subscribe(["chatroom", "price:gold"]);
    for await (const { message } of both) {
      same<typeof message, number | { user: string; text: string }>();
    }
    // @ts-expect-error A price is a number.
    broadcast.publish("price:gold", "2650");
    // @ts-expect-error A text is missing.
    broadcast.publish("chatroom", { user: "ada" });
    // @ts-expect-error It is published as a text.
    broadcast.publish("at", new Date());
    // @ts-expect-error There is no such channel.
    broadcast.publish("lobby", 1);
    // @ts-expect-error There is no such channel.
    broadcast.subscribe("lobby");
  });
});

/** The broadcast of the schemas above, written down. */
type Checked = Broadcast<ChannelsOf<typeof channels>, ChannelsOf<typeof channels, "input">>;

class Hub {
  readonly broadcast: Checked = new Broadcast("memory://", { channels, codec: json() });
}

Deno.test("the broadcast of schemas can be written down, and is what is inferred", async () => {
  await using broadcast = new Broadcast("memory://", { channels });
  same<typeof broadcast, Checked>();
  await using hub = new Hub().broadcast;
  const times = await hub.subscribe("at");
  await hub.publish("at", "2026-11-26T12:00:00Z");
  for await (const { message } of times) {
    same<typeof message, Date>();
    assertEquals(message.getUTCFullYear(), 2026);
    break;
  }
  compiles(() => {
    same<ChannelsOf<"price:*">, `price:${string}`>();
    same<ChannelsOf<"a.*.b.*">, `a.${string}.b.${string}`>();
    same<
      ChannelName<ChannelsOf<typeof channels>>,
      "chatroom" | `price:${string}` | "price:gold:history" | "login" | "at"
    >();
    same<ChannelsOf<typeof channels>["at"], Date>();
    same<ChannelsOf<typeof channels, "input">["at"], string>();
    // A schema that makes nothing else of a message, and a type of one's own that says the same.
    const simple = { chatroom: channels.chatroom, gold: z.number() };
    const one: Broadcast<ChannelsOf<typeof simple>> = new Broadcast("memory://", {
      channels: simple,
    });
    const own: Broadcast<{ chatroom: { user: string; text: string }; gold: number }> = one;
    same<typeof given, typeof broadcast>();
    const given = new Broadcast<typeof channels>("memory://", { channels });
    // @ts-expect-error A date is received, and a text is published.
    const wrong: Broadcast<ChannelsOf<typeof channels>> = broadcast;
    // @ts-expect-error The schemas are missing.
    const none: Checked = new Broadcast("memory://");
    return [own, wrong, none];
  });
});

Deno.test("what a schema does not accept is rejected at publish, with the issues", async () => {
  await using broadcast = new Broadcast("memory://", { channels });
  const publish = broadcast.publish.bind(broadcast) as (
    channel: string,
    message: unknown,
  ) => Promise<unknown>;
  const refused: [channel: string, message: unknown, path: string, count: number][] = [
    ["chatroom", { user: 1, text: "" }, "user: ", 2],
    ["price:gold", "2650", "", 1],
    ["price:gold:history", [1, "2"], "1: ", 1],
    ["login", {}, "name: ", 1],
    ["at", "yesterday", "", 1],
  ];
  for (const [channel, message, path, count] of refused) {
    const error = await assertRejects(() => publish(channel, message), ValidationError);
    assertInstanceOf(error, TypeError);
    assertEquals(error.name, "ValidationError");
    assertEquals(error.issues.length, count);
    const more = count > 1 ? `, and ${count - 1} more` : "";
    assertEquals(
      error.message,
      `Cannot publish message of "${channel}": ${path}${error.issues[0]!.message}${more}`,
    );
  }
  const { message } = await assertRejects(() => publish("lobby", 1), TypeError);
  assertEquals(
    message,
    'Cannot use channel "lobby": it has no schema, channels with a schema are chatroom, price:*, price:gold:history, login, at',
  );
});

Deno.test("a schema that is none is refused at once", () => {
  for (const [none, shown] of [[{ parse() {} }, "an Object"], [undefined, "undefined"]] as const) {
    const given = { channels: { chatroom: none as unknown as Schema } };
    const { message } = assertThrows(() => new Broadcast("memory://", given), TypeError);
    assertEquals(
      message,
      `Cannot open broadcast: the schema of "chatroom" must be a Standard Schema, as Zod, Valibot and ArkType make them, it is ${shown}`,
    );
  }
});

Deno.test("what a stranger sends that a schema does not accept is reported and skipped", async () => {
  const backend = new MemoryBackend();
  await using broadcast = new Broadcast(backend, { channels });
  await using stranger = new Broadcast(backend, { codec: json() });
  const errors: unknown[] = [];
  broadcast.addEventListener("messageerror", ({ error }) => errors.push(String(error)));
  const subscription = await broadcast.subscribe("chatroom");
  await stranger.publish("chatroom", { user: "eve" });
  await stranger.publish("chatroom", { user: "ada", text: "hello" });
  assertEquals(await messages(subscription, 1), [{ user: "ada", text: "hello" }]);
  assertEquals(errors, [
    'ValidationError: Cannot accept message of "chatroom": text: Invalid input: expected string, received undefined',
  ]);
  const past = await broadcast.history("chatroom");
  assertEquals(past.map(({ message }) => message), [{ user: "ada", text: "hello" }]);
});

Deno.test("a schema may take its time, and works around every codec", async () => {
  const slow: Schema<string> = {
    "~standard": {
      version: 1,
      vendor: "test",
      validate: async (value) => {
        await Promise.resolve();
        return typeof value === "string"
          ? { value: `${value}!` }
          : { issues: [{ message: "no text", path: [{ key: "a" }, "b", 0] }] };
      },
    },
  };
  const key = new Uint8Array(32);
  const codecs = [json(), msgpack(), encrypted(json(), { current: "k", keys: { k: key } })];
  for (const codec of codecs) {
    await using broadcast = new Broadcast("memory://", { channels: { slow }, codec });
    const subscription = await broadcast.subscribe("slow");
    await Promise.all(["a", "b", "c"].map((one) => broadcast.publish("slow", one)));
    assertEquals(await messages(subscription, 3), ["a!", "b!", "c!"]);
    const { message } = await assertRejects(
      () => broadcast.publish("slow", 1 as never),
      ValidationError,
    );
    assertEquals(message, 'Cannot publish message of "slow": a.b.0: no text');
  }
});

Deno.test("a message that does not survive its codec is refused at publish, before it is sent", async () => {
  const schemas = { at: z.date(), "when:*": z.object({ at: z.date() }) };
  await using broadcast = new Broadcast("memory://", { channels: schemas });
  for (let attempt = 0; attempt < 2; attempt++) {
    const { message, issues } = await assertRejects(
      () => broadcast.publish("at", new Date(0)),
      ValidationError,
    );
    assertEquals(issues.length, 1);
    assertEquals(
      message,
      'Cannot publish message of "at": its schema accepts it, but not what arrives after json has encoded and decoded it; use a codec that keeps it, such as msgpack(), or a schema of what arrives, such as z.coerce.date(): Invalid input: expected date, received string',
    );
  }
  await assertRejects(() => broadcast.publish("when:now", { at: new Date(0) }), ValidationError);
  assertEquals(await broadcast.history("at"), []);

  // Each of the ways out that the message names.
  await using kept = new Broadcast("memory://", { channels: schemas, codec: msgpack() });
  await using coerced = new Broadcast("memory://", { channels: { at: z.coerce.date() } });
  const subscriptions = [await kept.subscribe("at"), await coerced.subscribe("at")];
  await kept.publish("at", new Date(0));
  await coerced.publish("at", new Date(0));
  for (const subscription of subscriptions) {
    assertEquals(await messages(subscription, 1), [new Date(0)]);
  }
});

Deno.test("only the first message of each schema is decoded again", async () => {
  let decoded = 0;
  const counting: Codec<unknown> = {
    ...json(),
    decode: (payload) => (decoded++, json().decode(payload)),
  };
  const schemas = { a: z.number(), "b:*": z.number() };
  await using broadcast = new Broadcast("memory://", { channels: schemas, codec: counting });
  for (const channel of ["a", "a", "b:1", "b:2", "a"] as const) await broadcast.publish(channel, 1);
  assertEquals(decoded, 2);
});

Deno.test("a codec that cannot decode what it has encoded is told so at the first message", async () => {
  for (
    const fail of [() => {
      throw new Error("no");
    }, () => Promise.reject(new Error("no"))]
  ) {
    const codec: Codec<unknown> = { ...json(), decode: fail };
    await using broadcast = new Broadcast("memory://", { channels: { a: z.number() }, codec });
    const { message } = await assertRejects(() => broadcast.publish("a", 1), TypeError);
    assertEquals(
      message,
      'Cannot publish message of "a": json has encoded it, but cannot decode it: no',
    );
  }
});
