// deno run -A examples/sse.ts [url], with redis://localhost:6379 for example

import { Broadcast } from "@broadcaster/broadcaster";
import { eventStreamResponse, lastEventId } from "@broadcaster/broadcaster/sse";
import { read, run } from "./server.ts";

await run("News", async (url) => {
  const broadcast = new Broadcast(url);
  await broadcast.connect();
  return {
    page: "sse.html",
    stop: () => broadcast.disconnect(),
    async answer(request, path) {
      switch (`${request.method} ${path}`) {
        case "GET /events": {
          const after = lastEventId(request);
          return await eventStreamResponse((signal) =>
            broadcast.subscribe("news", { after, maxResume: 100, signal })
          );
        }
        case "POST /publish": {
          const text = await read(request, 2_000);
          if (text === undefined) return new Response("Too long", { status: 413 });
          await broadcast.publish("news", text);
          return new Response(null, { status: 204 });
        }
        default:
          return new Response("Not found", { status: 404 });
      }
    },
  };
});
