/** What the compiler promises: this file is wrong if it does not compile. */

import { assertEquals } from "@std/assert";
import type { Backend, MessageHeaders } from "../../../backends/mod.ts";
import { eventStream, eventStreamResponse } from "../../../core/sse/mod.ts";
import {
  Broadcast,
  type BroadcastEvent,
  type BroadcastOptions,
  type BroadcastState,
  bytes,
  type ChannelName,
  type Codec,
  compressed,
  encrypted,
  type Gap,
  json,
  type Subscription,
  text,
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
    broadcast.publish("chatroom", "hello", {
      headers: { a: "b" },
      idempotencyKey: "k",
      idempotencyTtl: 1_000,
    });
    // @ts-expect-error A header is a string.
    broadcast.publish("chatroom", "hello", { headers: { a: 1 } });
    // @ts-expect-error A key is a string.
    broadcast.publish("chatroom", "hello", { idempotencyKey: 1 });
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

const keys = { current: "1", keys: { "1": new Uint8Array(32) } };

/** A broadcast of a class's own, made in its constructor. */
class Rooms {
  readonly field: Broadcast<Channels> = new Broadcast("memory://", { codec: json() });
  readonly #made: Broadcast<Channels>;

  constructor(url: string) {
    this.#made = new Broadcast(url, { codec: compressed(json()) });
  }

  async send(price: number): Promise<void> {
    await this.#made.publish("price:gold", price);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.field.disconnect();
    await this.#made.disconnect();
  }
}

Deno.test("a codec takes the messages that are expected where it stands", async () => {
  await using plain: Broadcast<Channels> = new Broadcast("memory://", { codec: json() });
  await using short: Broadcast<Channels> = new Broadcast("memory://", {
    codec: compressed(json()),
  });
  await using secret: Broadcast<Channels> = new Broadcast("memory://", {
    codec: encrypted(json(), keys),
    buffer: 64,
  });
  const codec: Codec<number> = encrypted(compressed(json()), keys);
  await using both: Broadcast<Record<string, number>> = new Broadcast("memory://", { codec });
  await using rooms = new Rooms("memory://");
  await rooms.send(1);
  for (const broadcast of [plain, short, secret]) {
    const prices = await broadcast.subscribe("price:gold");
    await broadcast.publish("price:gold", 2_650);
    for await (const { message } of prices) {
      same<typeof message, number>();
      assertEquals(message, 2_650);
      break;
    }
  }
  assertEquals(both.state, "idle");
  compiles(() => {
    const nested: Broadcast<Channels> = new Broadcast("memory://", {
      codec: encrypted(compressed(json()), keys),
    });
    const uniform: Broadcast<Record<string, Chat>> = new Broadcast("memory://", {
      codec: compressed(json()),
    });
    takes(new Broadcast("memory://", { codec: encrypted(json(), keys) }));
    // Given by name, it is the same.
    same<typeof named, Broadcast<Channels>>();
    const named = new Broadcast<Channels>("memory://", { codec: json() });
    new Broadcast<Channels>("memory://", { codec: compressed(json()) });
    new Broadcast<Channels>("memory://", { codec: encrypted(compressed(json()), keys) });
    // Where nothing is expected, and the codec says nothing, messages are unknown.
    same<typeof unknown, Broadcast<Record<string, unknown>>>();
    const unknown = new Broadcast("memory://", { codec: encrypted(compressed(json()), keys) });
    // @ts-expect-error Bytes are no chats and prices.
    const wrong: Broadcast<Channels> = new Broadcast("memory://", { codec: bytes() });
    // @ts-expect-error Nor are they when they are compressed.
    const short: Broadcast<Channels> = new Broadcast("memory://", { codec: compressed(bytes()) });
    // @ts-expect-error Text is not either.
    const text: Broadcast<Channels> = new Broadcast("memory://");
    // @ts-expect-error There is no such option.
    const option: Broadcast<Channels> = new Broadcast("memory://", { codec: json(), bufer: 64 });
    return [nested, uniform, wrong, short, text, option];
  });

  function takes(broadcast: Broadcast<Channels>): Broadcast<Channels> {
    return broadcast;
  }
});

Deno.test("channels of text need no codec", async () => {
  interface Texts {
    news: string;
  }
  await using broadcast = new Broadcast<Texts>("memory://");
  same<typeof broadcast, Broadcast<Texts>>();
  const news = await broadcast.subscribe("news");
  await broadcast.publish("news", "hello");
  for await (const { message } of news) {
    assertEquals(message.length, 5);
    break;
  }
  compiles(() => {
    const expected: Broadcast<Texts> = new Broadcast("memory://", { buffer: 64 });
    const given: Broadcast<Texts> = new Broadcast("memory://", { codec: compressed(text()) });
    // @ts-expect-error There is no such channel.
    expected.publish("weather", "rain");
    // @ts-expect-error A price is a number.
    const prices: Broadcast<{ gold: number }> = new Broadcast("memory://");
    return [given, prices];
  });
});

/** Code for whatever messages, as a library has it. */
class Room<Message> {
  readonly broadcast: Broadcast<Record<string, Message>>;

  constructor(codec: Codec<Message>) {
    this.broadcast = new Broadcast("memory://", { codec });
  }

  async *say(message: Message): AsyncGenerator<Message> {
    const subscription = await this.broadcast.subscribe("room");
    await this.broadcast.publish("room", message);
    for await (const event of subscription) yield event.message;
  }
}

Deno.test("a broadcast is a type that functions can take, for whatever channels", async () => {
  const room = new Room(json<Chat>());
  for await (const message of room.say({ user: "a", text: "b" })) {
    same<typeof message, Chat>();
    assertEquals(message.text, "b");
    break;
  }
  await room.broadcast.disconnect();
  compiles(() => {
    function relay<Map extends object, Name extends ChannelName<Map>>(
      from: Broadcast<Map>,
      channel: Name,
      message: Map[Name],
    ) {
      return from.publish(channel, message);
    }
    function open<Map extends object>(): Broadcast<Map> {
      return new Broadcast("memory://", { codec: compressed(json()) });
    }
    function openWith<Map extends object>(codec: Codec<Map[keyof Map]>) {
      return new Broadcast<Map>("memory://", { codec });
    }
    same<typeof opened, Broadcast<Channels>>();
    const opened = open<Channels>();
    relay(opened, "price:gold", 2_650);
    relay(openWith<Channels>(json()), "chatroom", { user: "a", text: "b" });
    // @ts-expect-error A price is a number.
    relay<Channels, "price:gold">(opened, "price:gold", "2650");
    // One of more channels is one of fewer, and not the other way round.
    const fewer: Broadcast<{ chatroom: Chat }> = opened;
    // @ts-expect-error It has no lobby.
    const more: Broadcast<{ chatroom: Chat; lobby: string }> = fewer;
    // @ts-expect-error Its messages are no texts.
    const other: Broadcast<{ chatroom: string }> = opened;
    return [more, other];
  });
});

Deno.test("options have one type, which can be passed on", async () => {
  interface AppOptions extends BroadcastOptions {
    readonly url: string;
  }
  function open({ url, ...options }: AppOptions): Broadcast<Channels> {
    return new Broadcast(url, { ...options, codec: json() });
  }
  await using broadcast = open({ url: "memory://", buffer: 64 });
  assertEquals(broadcast.state, "idle");
  compiles(() => {
    function plain(options?: BroadcastOptions): Broadcast {
      return new Broadcast("memory://", options);
    }
    function coded<Message>(options: BroadcastOptions<Message> & { codec: Codec<Message> }) {
      return new Broadcast("memory://", options);
    }
    same<typeof chats, Broadcast<Record<string, Chat>>>();
    const chats = coded({ codec: json<Chat>(), timeout: 100 });
    // @ts-expect-error There is no such option.
    plain({ bufer: 64 });
  });
});

Deno.test("our codecs take no time, and can be called by one's own", async () => {
  const upper: Codec<string> = {
    name: "upper",
    encode: (message) => text().encode(message.toUpperCase()),
    decode: (payload) => text().decode(payload).toLowerCase(),
  };
  await using broadcast = new Broadcast("memory://", { codec: upper });
  same<typeof broadcast, Broadcast>();
  const decoded: string = text().decode(upper.encode("a", "channel") as string);
  assertEquals(decoded, "A");
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
    same<typeof payload, string | Uint8Array | undefined>();
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
