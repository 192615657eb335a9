/** What the compiler promises: this file is wrong if it does not compile. */

import { assertEquals } from "@std/assert";
import { eventStream, eventStreamResponse } from "../../../core/sse/mod.ts";
import {
  type Backend,
  Broadcast,
  type BroadcastEvent,
  type BroadcastState,
  bytes,
  type ChannelName,
  compressed,
  type Gap,
  json,
  type MessageHeaders,
  type Subscription,
} from "../../../mod.ts";

interface Chat {
  user: string;
  text: string;
}

interface Channels {
  chatroom: Chat;
  [price: `price:${string}`]: number;
}

type Same<One, Other> = (<T>() => T extends One ? 1 : 2) extends (<T>() => T extends Other ? 1 : 2)
  ? true
  : false;

/** Compiles if both types are the same, neither wider nor narrower. */
function same<One, Other>(..._same: Same<One, Other> extends true ? [] : [never]): void {}

/** Compiles, and never runs. */
function compiles(_body: () => unknown): void {}

same<string, string>();
// @ts-expect-error The check itself: `unknown` and `any` equal nothing else.
same<unknown, string>();

Deno.test("without a codec, messages are strings on any channel", async () => {
  await using broadcast = new Broadcast("memory://");
  same<typeof broadcast, Broadcast>();
  same<Broadcast, Broadcast<Record<string, string>>>();
  const subscription = await broadcast.subscribe("chatroom");
  same<typeof subscription, Subscription<string, "chatroom">>();
  const published = await broadcast.publish("chatroom", "hello");
  same<typeof published, string | undefined>();
  for await (const event of subscription) {
    same<typeof event, BroadcastEvent<string, "chatroom">>();
    same<typeof event.message, string>();
    same<typeof event.channel, "chatroom">();
    same<typeof event.id, string>();
    same<typeof event.gap, Gap | undefined>();
    same<typeof event.headers, MessageHeaders | undefined>();
    assertEquals(event.message, "hello");
    break;
  }
  compiles(() => {
    // @ts-expect-error A message is a string.
    broadcast.publish("chatroom", 1);
    // @ts-expect-error A channel is a string.
    broadcast.subscribe(1);
    // @ts-expect-error There is a message.
    broadcast.publish("chatroom");
    broadcast.publish("chatroom", "hello", { headers: { a: "b" }, key: "k", expires: 1_000 });
    // @ts-expect-error A header is a string.
    broadcast.publish("chatroom", "hello", { headers: { a: 1 } });
    // @ts-expect-error A key is a string.
    broadcast.publish("chatroom", "hello", { key: 1 });
  });
});

Deno.test("a codec says what the messages of all channels are", async () => {
  await using broadcast = new Broadcast("memory://", { codec: json<Chat>() });
  same<typeof broadcast, Broadcast<Record<string, Chat>>>();
  const subscription = await broadcast.subscribe("anywhere");
  await broadcast.publish("anywhere", { user: "a", text: "b" });
  for await (const { message } of subscription) {
    same<typeof message, Chat>();
    assertEquals(message.text, "b");
    break;
  }
  compiles(() => {
    // @ts-expect-error A chat has a text.
    broadcast.publish("anywhere", { user: "a" });
    // @ts-expect-error A chat is no string.
    broadcast.publish("anywhere", "text");
    same<typeof raw, Broadcast<Record<string, Uint8Array>>>();
    const raw = new Broadcast("memory://", { codec: bytes() });
    // Whatever it is given to, and in whatever order the compiler looks.
    same<typeof any, Broadcast<Record<string, unknown>>>();
    const any = new Broadcast({} as Backend, { codec: json() });
    same<typeof late, Broadcast<Record<string, Chat>>>();
    const late = new Broadcast("memory://", { codec: compressed(json<Chat>()) });
  });
});

Deno.test("a channel map says what the messages of each channel are", async () => {
  await using broadcast = new Broadcast<Channels>("memory://", { codec: json() });
  same<typeof broadcast, Broadcast<Channels>>();
  same<ChannelName<Channels>, "chatroom" | `price:${string}`>();
  const chats = await broadcast.subscribe("chatroom");
  const prices = await broadcast.subscribe("price:gold");
  same<typeof chats, Subscription<Chat, "chatroom">>();
  same<typeof prices, Subscription<number, "price:gold">>();
  await broadcast.publish("price:gold", 2_650);
  for await (const { message } of prices) {
    assertEquals(message.toFixed(), "2650");
    break;
  }
  compiles(() => {
    // @ts-expect-error A price is a number.
    broadcast.publish("price:gold", "2650");
    // @ts-expect-error The chat room has chats.
    broadcast.publish("chatroom", 2_650);
    // @ts-expect-error There is no such channel.
    broadcast.publish("lobby", 1);
    // @ts-expect-error There is no such channel.
    broadcast.subscribe("lobby");
    // @ts-expect-error A channel map needs a codec.
    new Broadcast<Channels>("memory://");
    // @ts-expect-error Bytes are no chats and prices.
    new Broadcast<Channels>("memory://", { codec: bytes() });
  });
});

Deno.test("of several channels, the channel tells what the message is", async () => {
  await using broadcast = new Broadcast<Channels>("memory://", { codec: json() });
  const both = await broadcast.subscribe(["chatroom", "price:gold"]);
  type Either = BroadcastEvent<Chat, "chatroom"> | BroadcastEvent<number, "price:gold">;
  const stream: ReadableStream<Either> = both;
  await broadcast.publish("chatroom", { user: "a", text: "b" });
  await broadcast.publish("price:gold", 2_650);
  const told: string[] = [];
  for await (const event of both) {
    same<typeof event, Either>();
    same<typeof event.message, Chat | number>();
    if (event.channel === "chatroom") same<typeof event.message, Chat>();
    else same<typeof event.message, number>();
    told.push(event.channel === "chatroom" ? event.message.text : event.message.toFixed());
    if (told.length === 2) break;
  }
  assertEquals(told, ["b", "2650"]);
  assertEquals(stream.locked, false);
  compiles(() => {
    eventStream(both, {
      data: (message, event) => {
        same<typeof message, Chat | number>();
        same<typeof event, Either>();
        return event.channel === "chatroom" ? event.message.text : event.message.toFixed();
      },
    });
  });
  const prices = await broadcast.subscribe({ pattern: "price:*" });
  await broadcast.publish("price:gold", 2_651);
  for await (const event of prices) {
    same<typeof event.message, Chat | number>();
    if (event.channel !== "chatroom") assertEquals(event.message.toFixed(), "2651");
    break;
  }
  compiles(async () => {
    const [event] = await broadcast.history("chatroom");
    same<typeof event, BroadcastEvent<Chat, "chatroom"> | undefined>();
    // @ts-expect-error One of both may be a number.
    for await (const { message } of both) message.text;
  });
});

Deno.test("listeners know their event", async () => {
  await using broadcast = new Broadcast("memory://");
  const states: BroadcastState[] = [];
  broadcast.addEventListener("statechange", ({ state, error }) => {
    same<typeof error, unknown>();
    states.push(state);
  }, { once: true });
  broadcast.addEventListener("gap", ({ channel, gap }) => same<typeof gap, Gap>() ?? channel);
  broadcast.addEventListener("messageerror", ({ payload }) => {
    same<typeof payload, string | Uint8Array>();
  });
  await broadcast.connect();
  assertEquals(states, ["connecting"]);
  compiles(() => {
    // @ts-expect-error This event has no gap.
    broadcast.addEventListener("statechange", ({ gap }) => gap);
  });
});

Deno.test("a subscription is a ReadableStream of events, which becomes an event stream", async () => {
  await using broadcast = new Broadcast("memory://", { codec: json<Chat>() });
  const subscription = await broadcast.subscribe("chatroom");
  const stream: ReadableStream<BroadcastEvent<Chat, "chatroom">> = subscription;
  same<ReturnType<typeof eventStream<BroadcastEvent<Chat>>>, ReadableStream<Uint8Array>>();
  await eventStream(stream, { data: (message) => message.text }).cancel();
  assertEquals(stream instanceof ReadableStream, true);
  compiles(() => {
    const response = eventStreamResponse(subscription);
    same<typeof response, Response>();
    // @ts-expect-error A subscription gives events, not messages.
    const messages: ReadableStream<Chat> = subscription;
    return messages;
  });
});
