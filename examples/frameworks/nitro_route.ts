// Nitro 3, as routes/news.ts

import process from "node:process";
import { Broadcast } from "@broadcaster/broadcaster";
import { eventStreamResponse, lastEventId } from "@broadcaster/broadcaster/sse";

/** What Nitro passes. */
interface Event {
  readonly req: Request;
}

const broadcast = new Broadcast(process.env.BROADCASTER_URL ?? "memory://");
process.once("SIGTERM", () => broadcast.disconnect()); // Nitro waits for open responses

export default async function news({ req: request }: Event): Promise<Response> {
  if (request.method === "POST") {
    await broadcast.publish("news", await request.text());
    return new Response(null, { status: 204 });
  }
  const after = lastEventId(request);
  return await eventStreamResponse(
    (signal) => broadcast.subscribe("news", { after, maxResume: 1_000, signal }),
    { request },
  );
}
