/** Event streams of a real browser outlast a broker that is away, however long. */

import { Broadcast } from "@broadcaster/broadcaster";
import { assertEquals } from "@std/assert";
import { start as startRedis } from "../services/redis.ts";
import { Example, look, test, Visitors } from "./example.ts";

/** Shorter and longer than `subscribe()` waits, which is 10 seconds. */
const AWAY = [5, 15, 60];

test("Events: a broker that is away for 5, 15 or 60 seconds closes no EventSource", async () => {
  await using visitors = await Visitors.start();
  await Promise.all(AWAY.map((seconds) => away(visitors, seconds)));
}, "redis");

async function away(visitors: Visitors, seconds: number): Promise<void> {
  await using redis = await startRedis();
  const url = redis.url.replace("redis:", "redis-stream:");
  await using sse = await Example.start("examples/sse.ts", url);
  const page = await visitors.open(sse.url);
  const status = page.getByRole("status");
  await status.getByText("Live", { exact: true }).waitFor();
  await page.addInitScript(
    "class Kept extends EventSource {" +
      " constructor(url) { super(url); (window.sources ??= []).push(this); } };" +
      " window.EventSource = Kept;",
  );
  await redis.stop("SIGKILL");
  const back = Date.now() + seconds * 1_000;
  // The page asks for a stream while the broker is away.
  await page.reload();
  const read = () =>
    page.evaluate("sources.map(({ readyState }) => readyState)") as Promise<number[]>;
  while (Date.now() < back) {
    const states = await read();
    assertEquals(states.length === 1 && states[0] !== 2, true, `${states} of ${seconds} s`);
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  await look(page, `sse-away-${seconds}`);
  await redis.restart();
  await using broadcast = new Broadcast(url);
  await broadcast.connect();
  // Until the page is back, news are only in the log: it reads those after its id.
  const item = page.getByRole("log").locator("li", { hasText: "after the broker was away" });
  for (let isThere = false; !isThere;) {
    await broadcast.publish("news", "after the broker was away");
    isThere = await item.first().waitFor({ timeout: 1_000 }).then(() => true, () => false);
  }
  assertEquals(await read(), [1]);
}
