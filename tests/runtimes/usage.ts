/** The package as an application uses it: TypeScript checks it against the types that npm gets. */

import {
  Broadcast,
  type BroadcastOptions,
  bytes,
  type ChannelsOf,
  ClosedError,
  type Codec,
  compressed,
  encrypted,
  json,
  type Schema,
  type Subscription,
} from "@broadcaster/broadcaster";
import type { Backend } from "@broadcaster/broadcaster/backend";
import { conformance } from "@broadcaster/broadcaster/conformance";
import { MemoryBackend } from "@broadcaster/broadcaster/memory";
import { eventStreamResponse, lastEventId } from "@broadcaster/broadcaster/sse";
import { sendTo } from "@broadcaster/broadcaster/websocket";

interface Chat {
  user: string;
  text: string;
}

interface Channels {
  chatroom: Chat;
  [price: `price:${string}`]: number;
}

/** Text. */
export async function first(url: string): Promise<string | undefined> {
  const broadcast = new Broadcast(url);
  const subscription = await broadcast.subscribe("chatroom");
  await broadcast.publish("chatroom", "hello");
  for await (const event of subscription) {
    const { id, message, gap } = event;
    if (gap) throw new Error(`${gap.cause} behind ${gap.after}, ${gap.missed ?? "some"} missing`);
    await broadcast.disconnect();
    return `${id} ${message.toUpperCase()}`;
  }
  return undefined;
}

/** The platform's socket, where there is one. */
type PlatformSocket = typeof globalThis extends { WebSocket: { prototype: infer Socket } } ? Socket
  : never;

/** Events as binary messages. */
export async function sent(
  socket: PlatformSocket,
  subscription: Subscription<Chat>,
): Promise<void> {
  const encoder = new TextEncoder();
  await sendTo(socket, subscription, { map: ({ message }) => encoder.encode(message.text) }).ended;
}

/** One type for all channels. */
export async function typed(signal: AbortSignal): Promise<string[]> {
  const broadcast = new Broadcast("memory://", { codec: json<Chat>(), buffer: 64 });
  const subscription: Subscription<Chat> = await broadcast.subscribe("chatroom", { signal });
  await broadcast.publish("chatroom", { user: "a", text: "b" });
  // @ts-expect-error A chat has a text.
  await broadcast.publish("chatroom", { user: "a" });
  const { value } = await subscription.getReader().read();
  return [value!.message.text];
}

/** A type for each channel. */
export async function mapped(backend: Backend): Promise<number> {
  const broadcast = new Broadcast<Channels>(backend, { codec: json() });
  broadcast.addEventListener("statechange", ({ state, error }) => void [state, error]);
  broadcast.addEventListener("gap", (event) => event.gap.cause === "overflow");
  const prices = await broadcast.subscribe("price:gold", { onGap: "error" });
  await broadcast.publish("price:gold", 2_650);
  // @ts-expect-error A price is a number.
  await broadcast.publish("price:gold", "2650");
  for await (const { message } of prices) return message * 2;
  return 0;
}

/** Types that are expected, and found by the codec. */
export class Hub {
  readonly chat: Broadcast<Channels> = new Broadcast("memory://", { codec: compressed(json()) });
  readonly secret: Broadcast<Channels>;

  constructor(url: string, key: Uint8Array, options?: BroadcastOptions) {
    const codec: Codec<Chat | number> = encrypted(json(), { current: "1", keys: { "1": key } });
    this.secret = new Broadcast(url, { ...options, codec });
    publish(new Broadcast(url, { codec: encrypted(compressed(json()), keysOf(key)) }));
    // @ts-expect-error Bytes are no chats and prices.
    publish(new Broadcast(url, { codec: compressed(bytes()) }));
  }
}

function keysOf(key: Uint8Array): { current: string; keys: Record<string, Uint8Array> } {
  return { current: "1", keys: { "1": key } };
}

function publish(broadcast: Broadcast<Channels>): Promise<string | undefined> {
  return broadcast.publish("price:gold", 2_650);
}

/** Schemas. */
export async function validated(
  time: Schema<string, Date>,
  price: Schema<number>,
): Promise<number> {
  const channels = { "at:*": time, price };
  type Checked = Broadcast<ChannelsOf<typeof channels>, ChannelsOf<typeof channels, "input">>;
  const broadcast: Checked = new Broadcast("memory://", { channels });
  const times = await broadcast.subscribe("at:noon");
  await broadcast.publish("at:noon", "2026-11-26T12:00:00Z");
  // @ts-expect-error It is published as a text.
  await broadcast.publish("at:noon", new Date());
  for await (const { message } of times) return message.getTime();
  return 0;
}

/** Whatever messages. */
export class Room<Message> {
  readonly #broadcast: Broadcast<Record<string, Message>>;

  constructor(url: string, codec: Codec<Message>) {
    this.#broadcast = new Broadcast(url, { codec });
  }

  async *hear(message: Message): AsyncGenerator<Message> {
    const subscription = await this.#broadcast.subscribe("room");
    await this.#broadcast.publish("room", message);
    for await (const event of subscription) yield event.message;
  }
}

/** A key that is bytes, and one of the platform. */
export async function secret(): Promise<void> {
  const algorithm = { name: "AES-GCM", length: 256 };
  const next = await crypto.subtle.generateKey(algorithm, false, ["encrypt", "decrypt"]);
  const keys = { last: new Uint8Array(32), next };
  const codec = encrypted(json<Chat>(), { current: "next", keys });
  await new Broadcast("memory://", { codec }).publish("chatroom", { user: "a", text: "b" });
}

/** An event stream for browsers. */
export async function stream(request: Request, chat: Broadcast<Channels>): Promise<Response> {
  const { signal } = request;
  const after = lastEventId(request);
  const subscription = await chat.subscribe("chatroom", { after, signal });
  return eventStreamResponse(subscription, { headers: { "x-chat": "1" } });
}

/** The platform's streams. */
export async function piped(sink: WritableStream<string>): Promise<void> {
  const broadcast = new Broadcast("memory://", { codec: bytes() });
  const subscription = await broadcast.subscribe("bytes");
  try {
    await subscription
      .pipeThrough(new TransformStream({ transform: (event, to) => to.enqueue(`${event.id}`) }))
      .pipeTo(sink);
  } catch (error) {
    if (!(error instanceof ClosedError)) throw error;
  }
}

/** A backend of one's own. */
export function test(run: (name: string, body: () => Promise<void>) => void): void {
  const { name, features } = new MemoryBackend();
  conformance(run, {
    name,
    features: { ...features, log: true },
    limit: Infinity,
    target: () => new MemoryBackend(),
  });
}
