// h3 2: npm install h3

import { H3, serve } from "h3";
import process from "node:process";
import { Broadcast } from "@broadcaster/broadcaster";
import { eventStreamResponse, lastEventId } from "@broadcaster/broadcaster/sse";

const { BROADCASTER_URL = "memory://", PORT = "8000" } = process.env;
const broadcast = new Broadcast(BROADCASTER_URL);
const app = new H3();

app.get("/news", ({ req: request }) => {
  const after = lastEventId(request);
  return eventStreamResponse(
    (signal) => broadcast.subscribe("news", { after, maxResume: 1_000, signal }),
    { request },
  );
});

app.post("/news", async ({ req }) => {
  await broadcast.publish("news", await req.text());
  return new Response(null, { status: 204 });
});

serve(app, { hostname: "127.0.0.1", port: Number(PORT), gracefulShutdown: false });

process.once("SIGTERM", async () => {
  await broadcast.disconnect();
  process.exit();
});
