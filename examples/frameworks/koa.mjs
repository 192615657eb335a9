// Koa: npm install koa

import Koa from "koa";
import process from "node:process";
import { text } from "node:stream/consumers";
import { Broadcast } from "@broadcaster/broadcaster";
import { lastEventId, sendEventStream } from "@broadcaster/broadcaster/sse";

const { BROADCASTER_URL = "memory://", PORT = "8000" } = process.env;
const broadcast = new Broadcast(BROADCASTER_URL);
const app = new Koa();

app.use(async (context) => {
  if (context.method === "POST") {
    await broadcast.publish("news", await text(context.req));
    context.status = 204;
    return;
  }
  const after = lastEventId(context);
  await sendEventStream(
    context.res,
    (signal) => broadcast.subscribe("news", { after, maxResume: 1_000, signal }),
  );
  context.respond = false; // it is answered
});

app.listen(Number(PORT), "127.0.0.1");

process.once("SIGTERM", async () => {
  await broadcast.disconnect();
  process.exit();
});
