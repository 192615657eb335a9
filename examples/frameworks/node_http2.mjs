// node:http2 alone, without TLS: a proxy speaks to it, or curl --http2-prior-knowledge

import { createServer } from "node:http2";
import process from "node:process";
import { text } from "node:stream/consumers";
import { Broadcast } from "@broadcaster/broadcaster";
import { lastEventId, sendEventStream } from "@broadcaster/broadcaster/sse";

const { BROADCASTER_URL = "memory://", PORT = "8000" } = process.env;
const broadcast = new Broadcast(BROADCASTER_URL);

async function answer(request, response) {
  if (request.method === "POST") {
    await broadcast.publish("news", await text(request));
    response.writeHead(204).end();
  } else {
    const after = lastEventId(request);
    await sendEventStream(
      response,
      (signal) => broadcast.subscribe("news", { after, maxResume: 1_000, signal }),
    );
  }
}

const server = createServer((request, response) => {
  answer(request, response).catch(() => {
    if (!response.headersSent) response.writeHead(500);
    response.end();
  });
});
server.listen(Number(PORT), "127.0.0.1");

process.once("SIGTERM", async () => {
  await broadcast.disconnect();
  process.exit();
});
