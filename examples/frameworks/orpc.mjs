// oRPC on node:http: npm install @orpc/server

import { os, withEventMeta } from "@orpc/server";
import { RPCHandler } from "@orpc/server/node";
import { createServer } from "node:http";
import process from "node:process";
import { Broadcast } from "@broadcaster/broadcaster";

const { BROADCASTER_URL = "memory://", PORT = "8000" } = process.env;
const broadcast = new Broadcast(BROADCASTER_URL);

const router = {
  news: os.handler(async function* ({ lastEventId: after, signal }) {
    // The signal releases the subscription, also while this waits for an event.
    const news = await broadcast.subscribe("news", { after, maxResume: 1_000, signal });
    for await (const { id, message, gap } of news) yield withEventMeta({ message, gap }, { id });
  }),
  publish: os.handler(async ({ input }) => {
    await broadcast.publish("news", input);
  }),
};

const handler = new RPCHandler(router);
const server = createServer(async (request, response) => {
  if (request.method !== "POST") return response.writeHead(405, { allow: "POST" }).end();
  // Keep what is between here and the client from compressing and buffering.
  response.setHeader("cache-control", "no-cache, no-transform");
  response.setHeader("x-accel-buffering", "no");
  const { matched } = await handler.handle(request, response);
  if (!matched) response.writeHead(404).end();
});
server.listen(Number(PORT), "127.0.0.1");

process.once("SIGTERM", async () => {
  await broadcast.disconnect();
  process.exit();
});
