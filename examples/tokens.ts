// deno run -A examples/tokens.ts [url], with redis-stream://localhost:6379 for example

import { setTimeout as pause } from "node:timers/promises";
import { Broadcast } from "@broadcaster/broadcaster";
import { eventStreamResponse, lastEventId } from "@broadcaster/broadcaster/sse";

const broadcast = new Broadcast(Deno.args[0] ?? "memory://");
await broadcast.connect();
const page = await Deno.readTextFile(new URL("tokens.html", import.meta.url));

/** Stands in for the output of a language model. */
async function* answer(question: string): AsyncGenerator<string> {
  const words = `You have asked: “${question}” I have no idea. But everyone who opens this page, \
now or when I am done, reads the same words from the first one on, and a lost connection resumes \
where it broke. I write into a stream, and closing it ends the channel.`;
  for (const token of words.match(/\S+\s*/g)!) {
    yield token;
    await pause(60);
  }
}

Deno.serve(async (request) => {
  const { pathname } = new URL(request.url);
  const run = pathname.match(/^\/runs\/([\w-]{36})$/)?.[1];
  switch (`${request.method} ${run ? "run" : pathname}`) {
    case "GET /":
      return new Response(page, { headers: { "content-type": "text/html" } });
    case "POST /runs": {
      const run = crypto.randomUUID();
      const tokens = ReadableStream.from(answer(await request.text()));
      // If the broker is lost for long, the answer ends early; the response was already sent.
      tokens.pipeTo(broadcast.writable(`run.${run}`, { end: true })).catch(() => {});
      return new Response(run);
    }
    case "GET run":
      return eventStreamResponse(
        await broadcast.subscribe(`run.${run}`, {
          after: lastEventId(request),
          history: 1_000,
        }),
      );
    default:
      return new Response("Not found", { status: 404 });
  }
});
