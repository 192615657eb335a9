// deno run -A examples/tokens.ts [url], with redis-stream://localhost:6379 for example

import { setTimeout as pause } from "node:timers/promises";
import { Broadcast } from "@broadcaster/broadcaster";
import { eventStreamResponse, lastEventId } from "@broadcaster/broadcaster/sse";
import { later, read, run } from "./server.ts";

/** Answers that are written at a time. */
const MOST_ANSWERS = 100;

/** Stands in for the output of a language model. */
async function* answer(question: string): AsyncGenerator<string> {
  const words =
    `You have asked: “${question}” I have no idea. But I can tell what happens while you \
wait for a better answer.

Each word is an event on a channel that belongs to this answer alone, and the channel keeps them. \
Reload this page now: it gets all words from the first one on, and then those that are still to \
come. Open its address in a second browser, or on your phone: both read the same, word by word. \
Where the connection breaks, it resumes, and no word is lost or repeated.

I write into a stream, and closing it ends the channel. Whoever comes later still reads all of it, \
and nobody waits for more.`;
  for (const token of words.match(/\S+\s*/g)!) {
    yield token;
    await pause(80);
  }
}

await run("Tokens", async (url) => {
  const broadcast = new Broadcast(url);
  // Fails early if the broker cannot be reached or has no log.
  await broadcast.history("run", { limit: 1 });
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
