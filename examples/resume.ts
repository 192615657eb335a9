// deno run -A examples/resume.ts [url], with redis-stream://localhost to survive a restart

import { setTimeout as pause } from "node:timers/promises";
import { Broadcast, ClosedError, json } from "@broadcaster/broadcaster";
import { eventStreamResponse, lastEventId } from "@broadcaster/broadcaster/sse";
import { later, run } from "./server.ts";

/** Message of a run's channel. The index of the newest one tells where to continue writing. */
interface Token {
  index: number;
  text: string;
  done: boolean;
}

/** Stands in for the output of a language model. */
const TOKENS = `You are reading a stream of tokens, as a language model writes them. \
Each one is an event on a channel that belongs to this run alone, and the channel has a log.

Reload this page now, in the middle of a sentence. It keeps what it has shown, together with the id \
of the last event, and the server continues right after that id. No word is lost or repeated.

Or open the address of this page in a second tab. That tab has kept nothing, so it gets everything \
from the beginning, and then what is being written, with no seam in between.

Now stop the server, and start it again. If its log is at a broker, then the new process finds this \
run, sees how far it came, and writes the rest, and the page reconnects by itself. With memory:// \
the log ends with its process, and the page says so. And where a log has been cut too short for \
someone who was away for long, the place where words are missing is marked.

That is all there is to it.`.match(/\S+\s*/g)!;

/** The log has nothing of a run. */
class NoRunError extends Error {}

/** Answers that are written at a time. */
const MOST_RUNS = 100;

await run("A stream that resumes", async (url) => {
  const broadcast = new Broadcast(url, { codec: json<Token>() });
  // Fails early if the broker cannot be reached or has no log.
  await broadcast.history("run", { limit: 1 });

  /** Channels that this process writes to. Several servers must agree on one writer per channel. */
  const writing = new Set<string>();

  function publish(channel: string, index: number): Promise<unknown> {
    const done = index === TOKENS.length - 1;
    return broadcast.publish(channel, { index, text: TOKENS[index]!, done });
  }

  async function countWritten(channel: string): Promise<number> {
    const [newest] = await broadcast.history(channel, { limit: 1 });
    return newest ? newest.message.index + 1 : 0;
  }

  /** Writes the tokens that the log lacks, also those of a run that another process started. */
  async function write(channel: string): Promise<void> {
    if (writing.has(channel)) return;
    writing.add(channel);
    for (let index; index !== TOKENS.length;) {
      try {
        for (index = await countWritten(channel); index < TOKENS.length; index++) {
          await publish(channel, index);
          await pause(30 + Math.random() * 30);
        }
      } catch (error) {
        if (error instanceof ClosedError) break;
        // The broker may have stored a token without confirming it: count again in the log.
        index = undefined;
        await pause(1_000);
      }
    }
    writing.delete(channel);
  }

  /** The run, as far as it is written, and then live. */
  async function follow(channel: string, after: string | undefined, signal: AbortSignal) {
    if (await countWritten(channel) === 0) throw new NoRunError();
    write(channel);
    const history = TOKENS.length;
    return await broadcast.subscribe(channel, { after, history, maxResume: history, signal });
  }

  return {
    page: "resume.html",
    stop: () => broadcast.disconnect(),
    async answer(request, path) {
      const run = path.match(/^\/run\/([\w-]{36})$/)?.[1];
      switch (`${request.method} ${run ? "run" : path}`) {
        case "POST /run": {
          if (writing.size >= MOST_RUNS) return later(request);
          const run = crypto.randomUUID();
          await publish(`run.${run}`, 0);
          write(`run.${run}`);
          return new Response(null, { status: 303, headers: { location: `/?run=${run}` } });
        }
        case "GET run":
          try {
            const after = lastEventId(request);
            return await eventStreamResponse((signal) => follow(`run.${run}`, after, signal));
          } catch (error) {
            if (!(error instanceof NoRunError)) throw error;
            // An event, since `EventSource` does not expose the status of a failed response.
            const headers = { "content-type": "text/event-stream" };
            return new Response("event: gone\ndata:\n\n", { headers });
          }
        default:
          return new Response("Not found", { status: 404 });
      }
    },
  };
});
