// SvelteKit 3, as src/routes/news/+server.ts

import process from "node:process";
import { Broadcast } from "@broadcaster/broadcaster";
import { eventStreamResponse, lastEventId } from "@broadcaster/broadcaster/sse";

/** What SvelteKit passes. */
interface RequestEvent {
  readonly request: Request;
}

// In development, this module is loaded anew after each change: one connection serves all of them.
const shared = globalThis as { broadcast?: Broadcast };
const broadcast = shared.broadcast ??= open();

export function GET({ request }: RequestEvent): Promise<Response> {
  const after = lastEventId(request);
  return eventStreamResponse(
    (signal) => broadcast.subscribe("news", { after, maxResume: 1_000, signal }),
    { request },
  );
}

export async function POST({ request }: RequestEvent): Promise<Response> {
  await broadcast.publish("news", await request.text());
  return new Response(null, { status: 204 });
}

function open(): Broadcast {
  const broadcast = new Broadcast(process.env.BROADCASTER_URL ?? "memory://");
  process.once("SIGTERM", () => broadcast.disconnect()); // SvelteKit waits for open responses
  return broadcast;
}
