import { assertEquals, assertMatch } from "@std/assert";
import type { Page } from "npm:playwright-core@1.64.1";
import { start as startRedis } from "../services/redis.ts";
import { Example, look, overflow, run, test, Visitors } from "./example.ts";

const RESUME = "examples/resume.ts";
const END = "That is all there is to it.";

test("Resume: a reload, a second page and an end lose and repeat nothing", async () => {
  await using example = await Example.start(RESUME);
  await using visitors = await Visitors.start();
  const page = await visitors.open(example.url);
  await look(page, "resume-ready");
  await begin(page);
  await tokens(page, 30);
  await look(page, "resume-writing");
  const first = await texts(page);
  await page.reload();
  // What was shown is there before the server has said anything.
  assertEquals((await texts(page)).slice(0, first.length), first);
  await tokens(page, 60);
  await look(page, "resume-reloaded");
  const other = await visitors.open(page.url(), 320, 568);
  await tokens(other, 80);
  await look(other, "resume-small");
  await page.reload();
  await Promise.all([complete(page), complete(other)]);
  const answer = await whole(page);
  assertEquals(answer, await whole(other));
  assertEquals(await page.locator(".seam").allTextContents(), ["reloaded", "reloaded"]);
  for (const one of [page, other]) {
    assertEquals(await one.locator(".gap").count(), 0);
    assertEquals(await overflow(one), 0);
  }
  await page.emulateMedia({ colorScheme: "dark" });
  await look(page, "resume-dark");
  await other.emulateMedia({ colorScheme: "dark" });
  await look(other, "resume-small-dark");
  await page.reload();
  await complete(page);
  assertEquals(await whole(page), answer);
});

test("Resume: a server that is killed goes on where it was", async () => {
  await using redis = await startRedis();
  await using example = await Example.start(RESUME, redis.url.replace("redis:", "redis-stream:"));
  await using visitors = await Visitors.start();
  const page = await visitors.open(example.url);
  await begin(page);
  for (const count of [25, 60]) {
    await tokens(page, count);
    await example.stop("SIGKILL");
    await page.getByRole("status").getByText("Reconnecting", { exact: true }).waitFor();
    await look(page, "resume-reconnecting");
    await example.start();
  }
  await tokens(page, 90);
  await page.reload();
  await complete(page);
  const other = await visitors.open(page.url());
  await complete(other);
  assertEquals(await whole(page), await whole(other));
  assertEquals(await page.locator(".gap").count(), 0);
  assertEquals(
    await page.locator(".seam").allTextContents(),
    ["reconnected", "reconnected", "reloaded"],
  );
  await look(page, "resume-restarted");
}, "redis");

test("Resume: a broker that is lost for a while delays the tokens, and no more", async () => {
  await using redis = await startRedis({
    args: ["--appendonly", "yes", "--appendfsync", "always"],
  });
  await using example = await Example.start(RESUME, redis.url.replace("redis:", "redis-stream:"));
  await using visitors = await Visitors.start();
  const page = await visitors.open(example.url);
  await begin(page);
  await tokens(page, 40);
  await redis.stop("SIGKILL");
  await redis.restart();
  await complete(page);
  await whole(page);
  assertEquals(await page.locator(".gap").count(), 0);
}, "redis");

test("Resume: what the log no longer has is marked where it is missing", async () => {
  await using example = await Example.start(RESUME, "memory://?history=5&linger=0");
  await using visitors = await Visitors.start();
  const page = await visitors.open(example.url);
  await begin(page);
  await tokens(page, 30);
  const url = page.url();
  await page.goto("about:blank");
  const other = await visitors.open(url);
  await tokens(other, 40);
  await other.goto("about:blank");
  // Nobody reads, and the log keeps the newest five.
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  await page.goto(url);
  const gap = page.locator(".seam + .gap");
  await gap.waitFor();
  assertMatch((await gap.textContent())!, /^\d+ tokens are missing here$/);
  await look(page, "resume-gap");
  await complete(page);
  const late = await visitors.open(url);
  await complete(late);
  await look(late, "resume-late");
  assertEquals((await texts(late)).length, 5);
  const total = await countMissing(late) + 5;
  assertEquals(await countMissing(page) + (await texts(page)).length, total);
  assertEquals(await late.locator(".gap + .token").count(), 1);
});

test("Resume: a run that the server no longer has is said to be gone", async () => {
  await using example = await Example.start(RESUME);
  await using visitors = await Visitors.start();
  const page = await visitors.open(example.url, 320, 568);
  await begin(page);
  await tokens(page, 20);
  await example.stop("SIGKILL");
  await example.start();
  await page.getByRole("status").getByText("The server no longer has this run").waitFor();
  await look(page, "resume-gone");
});

Deno.test("Resume: it needs a log", async () => {
  const { code, stderr } = await run(RESUME, Deno.env.get("REDIS_URL") ?? "memory://?history=0");
  assertEquals(code, 1);
  assertMatch(stderr, /Cannot read history of "run": \w+ keeps no log/);
});

async function begin(page: Page): Promise<void> {
  await page.getByRole("button", { name: "Start a run" }).press("Enter");
  await page.waitForURL(/run=/);
}

/** Waits for so many of them. */
async function tokens(page: Page, count: number): Promise<void> {
  await page.locator(".token").nth(count - 1).waitFor({ state: "attached" });
}

function texts(page: Page): Promise<string[]> {
  return page.locator(".token").allTextContents();
}

async function countMissing(page: Page): Promise<number> {
  const gaps = await page.locator(".gap").allTextContents();
  return gaps.reduce((sum, text) => sum + parseInt(text), 0);
}

async function complete(page: Page): Promise<void> {
  await page.getByRole("status").getByText("Complete", { exact: true }).waitFor();
}

/** The text, every token of which is there once and in its place. */
async function whole(page: Page): Promise<string> {
  const source = await Deno.readTextFile(new URL(`../../${RESUME}`, import.meta.url));
  const written = source.match(/const TOKENS = `([^`]*)`/)![1]!.replaceAll("\\\n", "");
  assertEquals(await texts(page), written.match(/\S+\s*/g) as string[]);
  assertEquals(written.endsWith(END), true);
  return written;
}
