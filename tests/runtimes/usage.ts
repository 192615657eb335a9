/** The package as an application uses it: TypeScript checks it against the types that npm gets. */

import { Broadcast, bytes, ClosedError, json, type Subscription } from "@broadcaster/broadcaster";
import type { Backend } from "@broadcaster/broadcaster/backend";
import { conformance } from "@broadcaster/broadcaster/conformance";
import { MemoryBackend } from "@broadcaster/broadcaster/memory";
import { eventStreamResponse, lastEventId } from "@broadcaster/broadcaster/sse";

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

/** An event stream for browsers. */
export async function stream(request: Request, chat: Broadcast<Channels>): Promise<Response> {
  const { signal } = request;
  const after = lastEventId(request);
  const subscription = await chat.subscribe("chatroom", { after, foreign: "gap", signal });
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
  conformance(run, { name, features, limit: Infinity, target: () => new MemoryBackend() });
}
