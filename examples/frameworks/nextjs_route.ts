// Next.js 16, as app/news/route.ts

import process from "node:process";
import { Broadcast } from "@broadcaster/broadcaster";
import { eventStreamResponse, lastEventId } from "@broadcaster/broadcaster/sse";

// In development, this module is loaded anew after each change: one connection serves all of them.
const shared = globalThis as { broadcast?: Broadcast };
const broadcast = shared.broadcast ??= open();

export const dynamic = "force-dynamic";

export function GET(request: Request): Promise<Response> {
  const after = lastEventId(request);
  return eventStreamResponse(
    (signal) => broadcast.subscribe("news", { after, maxResume: 1_000, signal }),
    { request },
  );
}

export async function POST(request: Request): Promise<Response> {
  await broadcast.publish("news", await request.text());
  return new Response(null, { status: 204 });
}

function open(): Broadcast {
  const broadcast = new Broadcast(process.env.BROADCASTER_URL ?? "memory://");
  process.once("SIGTERM", () => broadcast.disconnect()); // Next.js waits for open responses
  return broadcast;
}
