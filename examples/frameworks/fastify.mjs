// Fastify 5: npm install fastify

import fastify from "fastify";
import process from "node:process";
import { Broadcast } from "@broadcaster/broadcaster";
import { lastEventId, sendEventStream } from "@broadcaster/broadcaster/sse";

const { BROADCASTER_URL = "memory://", PORT = "8000" } = process.env;
const broadcast = new Broadcast(BROADCASTER_URL);
const app = fastify();

app.get("/news", (request, reply) => {
  const after = lastEventId(request);
  return sendEventStream(
    reply.raw,
    (signal) => broadcast.subscribe("news", { after, maxResume: 1_000, signal }),
    { headers: reply.getHeaders() }, // those that plugins have set, such as those of CORS
  );
});

app.post("/news", async (request, reply) => {
  await broadcast.publish("news", request.body);
  return reply.status(204).send();
});

await app.listen({ host: "127.0.0.1", port: Number(PORT) });

process.once("SIGTERM", async () => {
  await broadcast.disconnect();
  process.exit();
});
