// Nuxt 4 and Nitro 2, as server/routes/news.ts

import { defineEventHandler } from "h3";
import process from "node:process";
import { text } from "node:stream/consumers";
import { Broadcast } from "@broadcaster/broadcaster";
import { lastEventId, sendEventStream } from "@broadcaster/broadcaster/sse";

const broadcast = new Broadcast(process.env.BROADCASTER_URL ?? "memory://");
process.once("SIGTERM", () => broadcast.disconnect()); // Nuxt waits for open responses

export default defineEventHandler(async ({ node: { req: request, res: response } }) => {
  if (request.method === "POST") {
    await broadcast.publish("news", await text(request));
    response.writeHead(204).end();
    return;
  }
  const after = lastEventId(request);
  await sendEventStream(
    response,
    (signal) => broadcast.subscribe("news", { after, maxResume: 1_000, signal }),
  );
});
