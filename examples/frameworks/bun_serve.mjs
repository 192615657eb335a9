// Bun.serve: bun bun_serve.mjs

import process from "node:process";
import { Broadcast } from "@broadcaster/broadcaster";
import { eventStreamResponse, lastEventId } from "@broadcaster/broadcaster/sse";

const { BROADCASTER_URL = "memory://", PORT = "8000" } = process.env;
const broadcast = new Broadcast(BROADCASTER_URL);

globalThis.Bun.serve({
  hostname: "127.0.0.1",
  port: Number(PORT),
  async fetch(request) {
    if (request.method === "POST") {
      await broadcast.publish("news", await request.text());
      return new Response(null, { status: 204 });
    }
    const after = lastEventId(request);
    return await eventStreamResponse(
      (signal) => broadcast.subscribe("news", { after, maxResume: 1_000, signal }),
      { request },
    );
  },
});

process.once("SIGTERM", async () => {
  await broadcast.disconnect();
  process.exit();
});
