// Express 5, with compression: npm install express compression

import compression from "compression";
import express from "express";
import process from "node:process";
import { Broadcast } from "@broadcaster/broadcaster";
import { lastEventId, sendEventStream } from "@broadcaster/broadcaster/sse";

const { BROADCASTER_URL = "memory://", PORT = "8000" } = process.env;
const broadcast = new Broadcast(BROADCASTER_URL);
const app = express();
app.use(compression(), express.text({ type: () => true }));

app.get("/news", (request, response) => {
  const after = lastEventId(request);
  return sendEventStream(
    response,
    (signal) => broadcast.subscribe("news", { after, maxResume: 1_000, signal }),
  );
});

app.post("/news", async (request, response) => {
  await broadcast.publish("news", request.body);
  response.sendStatus(204);
});

app.listen(Number(PORT), "127.0.0.1");

process.once("SIGTERM", async () => {
  await broadcast.disconnect();
  process.exit();
});
