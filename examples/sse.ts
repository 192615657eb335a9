// deno run -A examples/sse.ts [url], with redis://localhost:6379 for example

import { Broadcast } from "@broadcaster/broadcaster";
import { eventStreamResponse, lastEventId } from "@broadcaster/broadcaster/sse";

const broadcast = new Broadcast(Deno.args[0] ?? "memory://");
await broadcast.connect();
const page = await Deno.readTextFile(new URL("sse.html", import.meta.url));

Deno.serve(async (request) => {
  switch (`${request.method} ${new URL(request.url).pathname}`) {
    case "GET /":
      return new Response(page, { headers: { "content-type": "text/html" } });
    case "GET /events": {
      const after = lastEventId(request);
      const subscription = await broadcast.subscribe("news", { after });
      return eventStreamResponse(subscription);
    }
    case "POST /publish":
      await broadcast.publish("news", await request.text());
      return new Response(null, { status: 204 });
    default:
      return new Response("Not found", { status: 404 });
  }
});
