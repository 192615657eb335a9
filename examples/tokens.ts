// deno run -A examples/tokens.ts [url], with redis-stream://localhost:6379 for example

import { setTimeout as pause } from "node:timers/promises";
import { Broadcast } from "@broadcaster/broadcaster";
import { eventStreamResponse, lastEventId } from "@broadcaster/broadcaster/sse";
import { later, read, run } from "./server.ts";

/** Answers that are written at a time. */
const MOST_ANSWERS = 100;

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

await run("Tokens", async (url) => {
  const broadcast = new Broadcast(url);
  await broadcast.connect();
  let writing = 0;

  async function write(channel: string, question: string): Promise<void> {
    writing++;
    try {
      const tokens = ReadableStream.from(answer(question));
      await tokens.pipeTo(broadcast.writable(channel, { end: true }));
    } catch {
      // If the broker is lost for long, the answer ends early; the response was already sent.
    } finally {
      writing--;
    }
  }

  return {
    page: "tokens.html",
    stop: () => broadcast.disconnect(),
    async answer(request, path) {
      const run = path.match(/^\/runs\/([\w-]{36})$/)?.[1];
      switch (`${request.method} ${run ? "run" : path}`) {
        case "POST /runs": {
          const question = await read(request, 1_000);
          if (question === undefined) return new Response("Too long", { status: 413 });
          if (writing >= MOST_ANSWERS) return later(request);
          const run = crypto.randomUUID();
          write(`run.${run}`, question);
          return new Response(run);
        }
        case "GET run": {
          const after = lastEventId(request);
          return await eventStreamResponse((signal) =>
            broadcast.subscribe(`run.${run}`, { after, history: 1_000, maxResume: 1_000, signal })
          );
        }
        default:
          return new Response("Not found", { status: 404 });
      }
    },
  };
});
