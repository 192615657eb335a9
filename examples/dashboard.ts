// deno run -A examples/dashboard.ts [url], with redis-stream://localhost:6379 for example

import process from "node:process";
import { Broadcast, json } from "@broadcaster/broadcaster";
import { eventStreamResponse, lastEventId } from "@broadcaster/broadcaster/sse";
import { hasLog, later, run } from "./server.ts";

/** Samples that a page starts with, or gets when it comes back: two minutes of two processes. */
const PAST = 240;
/** Events that the page's button publishes. */
const BURST = 5_000;
/** How often the event loop is asked whether it is late, in milliseconds. */
const STEP = 10;

/** What a process tells of itself, once a second. */
interface Sample {
  process: number;
  /** Counts the samples of the process: one that is missing shows. */
  number: number;
  at: number;
  /** How late a timer was at most, in milliseconds: so long did code keep all else waiting. */
  delay: number;
  /** What the process holds in memory, in megabytes. */
  memory: number;
  /** Events that it has published. */
  published: number;
  /** Pages that read its numbers. */
  readers: number;
}

interface Channels {
  dashboard: Sample;
  "dashboard-work": number;
}

await run("Dashboard", async (url) => {
  const broadcast = new Broadcast<Channels>(url, { codec: json() });
  await broadcast.connect();
  const history = await hasLog(broadcast, "dashboard") ? PAST : 0;

  let delay = 0;
  let due = performance.now() + STEP;
  const clock = setInterval(() => {
    const now = performance.now();
    delay = Math.max(delay, now - due);
    due = now + STEP;
  }, STEP);

  let number = 0;
  let publishedBefore = 0;

  function takeSample(): Sample {
    const { published, channels } = broadcast.stats();
    const sample = {
      process: process.pid,
      number: number++,
      at: Date.now(),
      delay,
      memory: process.memoryUsage().rss / 1e6,
      published: published - publishedBefore,
      readers: channels.find(({ channel }) => channel === "dashboard")?.subscribers ?? 0,
    };
    delay = 0;
    publishedBefore = published;
    return sample;
  }

  const sampler = setInterval(() => {
    // A broker that is away for long costs samples: the line has a hole there.
    broadcast.publish("dashboard", takeSample()).catch(() => {});
  }, 1_000);

  let isWorking = false;

  /** Gives the process something to do. Nobody subscribes to these events. */
  async function work(): Promise<void> {
    isWorking = true;
    const numbers = Array.from({ length: BURST }, (_, index) => index);
    await Promise.allSettled(numbers.map((index) => broadcast.publish("dashboard-work", index)));
    isWorking = false;
  }

  return {
    page: "dashboard.html",
    async stop() {
      clearInterval(clock);
      clearInterval(sampler);
      await broadcast.disconnect();
    },
    async answer(request, path) {
      switch (`${request.method} ${path}`) {
        case "GET /events": {
          const after = lastEventId(request);
          return await eventStreamResponse((signal) =>
            broadcast.subscribe("dashboard", { after, history, maxResume: PAST, signal })
          );
        }
        case "POST /work":
          if (isWorking) return later(request);
          await work();
          return new Response(null, { status: 204 });
        default:
          return new Response("Not found", { status: 404 });
      }
    },
  };
});
