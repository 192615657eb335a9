// Hono on Node: npm install hono @hono/node-server

import { serve } from "@hono/node-server";
import { Hono } from "hono";
import process from "node:process";
import { Broadcast } from "@broadcaster/broadcaster";
import { eventStreamResponse, lastEventId } from "@broadcaster/broadcaster/sse";

const { BROADCASTER_URL = "memory://", PORT = "8000" } = process.env;
const broadcast = new Broadcast(BROADCASTER_URL);
const app = new Hono();

app.get("/news", ({ req: { raw: request } }) => {
  const after = lastEventId(request);
  return eventStreamResponse(
    (signal) => broadcast.subscribe("news", { after, maxResume: 1_000, signal }),
    { request },
  );
});

app.post("/news", async (context) => {
  await broadcast.publish("news", await context.req.text());
  return context.body(null, 204);
});

serve({ fetch: app.fetch, hostname: "127.0.0.1", port: Number(PORT) });

process.once("SIGTERM", async () => {
  await broadcast.disconnect();
  process.exit();
});
