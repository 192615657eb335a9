// deno run -A examples/resume.ts [url], with redis-stream://localhost to survive a restart

import { setTimeout as pause } from "node:timers/promises";
import { Broadcast, json } from "@broadcaster/broadcaster";
import { eventStreamResponse, lastEventId } from "@broadcaster/broadcaster/sse";

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

const broadcast = new Broadcast(Deno.args[0] ?? "memory://", { codec: json<Token>() });
// Fails early if the broker cannot be reached or has no log.
await broadcast.history("run", { limit: 1 });
const page = await Deno.readTextFile(new URL("resume.html", import.meta.url));

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
    } catch {
      // The broker may have stored a token without confirming it: count again in the log.
      index = undefined;
      await pause(1_000);
    }
  }
  writing.delete(channel);
}

Deno.serve({ onError: () => new Response("Try again later", { status: 503 }) }, async (request) => {
  const { pathname } = new URL(request.url);
  if (request.method === "POST" && pathname === "/run") {
    const run = crypto.randomUUID();
    await publish(`run.${run}`, 0);
    write(`run.${run}`);
    return new Response(null, { status: 303, headers: { location: `/?run=${run}` } });
  }
  const run = pathname.match(/^\/run\/([\w-]{36})$/)?.[1];
  if (run) {
    const channel = `run.${run}`;
    if (await countWritten(channel) === 0) {
      // An event, since `EventSource` does not expose the status of a failed response.
      const headers = { "content-type": "text/event-stream" };
      return new Response("event: gone\ndata:\n\n", { headers });
    }
    write(channel);
    const after = lastEventId(request);
    return eventStreamResponse(
      await broadcast.subscribe(channel, { after, history: TOKENS.length }),
    );
  }
  if (pathname === "/") return new Response(page, { headers: { "content-type": "text/html" } });
  return new Response("Not found", { status: 404 });
});
