// deno run -A examples/resume.ts [url], with redis-stream://localhost to survive a restart as well

import { setTimeout as pause } from "node:timers/promises";
import { Broadcast, json } from "@broadcaster/broadcaster";
import { eventStreamResponse, lastEventId } from "@broadcaster/broadcaster/sse";

/** What a run's channel carries. The index says where to go on, even if the log has lost the rest. */
interface Token {
  index: number;
  text: string;
  done: boolean;
}

/** Stands in for a language model: what it would say. */
const TOKENS = `You are reading a stream of tokens, as a language model writes them. \
Each one is an event on a channel that belongs to this run alone, and the channel has a log.

Reload this page now, in the middle of a sentence. It keeps what it has shown, together with the id \
of the last event, and the server goes on right behind that id. No word is lost, and none comes twice.

Or open the address of this page in a second tab. That tab has kept nothing, so it gets everything \
from the beginning, and then what is being written, with no seam in between.

Now stop the server, and start it again. If its log is at a broker, then the new process finds this \
run, sees how far it came, and writes the rest, and the page reconnects by itself. With memory:// \
the log ends with its process, and the page says so. And where a log has been cut too short for \
someone who was away for long, the place where words are missing is marked.

That is all there is to it.`.match(/\S+\s*/g)!;

const broadcast = new Broadcast(Deno.args[0] ?? "memory://", { codec: json<Token>() });
// It also says so if this broker keeps no log.
await broadcast.history("run", { limit: 1 });
const page = await Deno.readTextFile(new URL("resume.html", import.meta.url));

/** The channels that this process writes to. Several servers must agree on which one does. */
const writing = new Set<string>();

function publish(channel: string, index: number): Promise<unknown> {
  const done = index === TOKENS.length - 1;
  return broadcast.publish(channel, { index, text: TOKENS[index]!, done });
}

async function countWritten(channel: string): Promise<number> {
  const [newest] = await broadcast.history(channel, { limit: 1 });
  return newest ? newest.message.index + 1 : 0;
}

/** Writes what the log lacks, whoever wrote what it has. */
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
      // The broker may have stored the token that it did not confirm: only the log can tell.
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
      // Anything but an event stream would tell a page no more than that something is wrong.
      const headers = { "content-type": "text/event-stream" };
      return new Response("event: gone\ndata:\n\n", { headers });
    }
    write(channel);
    const after = lastEventId(request);
    return eventStreamResponse(
      await broadcast.subscribe(channel, { after, history: TOKENS.length, foreign: "gap" }),
    );
  }
  if (pathname === "/") return new Response(page, { headers: { "content-type": "text/html" } });
  return new Response("Not found", { status: 404 });
});
