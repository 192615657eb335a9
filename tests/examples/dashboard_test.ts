import { assert, assertEquals } from "@std/assert";
import type { Locator, Page } from "npm:playwright-core@1.64.1";
import { Proxy } from "../services/proxy.ts";
import { start as startRedis } from "../services/redis.ts";
import { Example, look, overflow, test, Visitors } from "./example.ts";

const DASHBOARD = "examples/dashboard.ts";

test("Dashboard: all pages draw the same numbers, and one that opens late has those of before", async () => {
  await using dashboard = await Example.start(DASHBOARD);
  await using visitors = await Visitors.start();
  const first = await open(visitors, dashboard.url);
  await samples(first, 5);
  await first.getByRole("button", { name: "Publish 5,000 events" }).click();
  const late = await open(visitors, dashboard.url, 375, 720);
  await samples(late, 8);
  await readers(first, 2);
  await readers(late, 2);
  const [early, later] = await Promise.all([read(first), read(late)]);
  const numbers = [...later.keys()].filter((number) => early.has(number));
  assert(numbers.length >= 8, `${numbers.length} numbers`);
  for (const number of numbers) assertEquals(later.get(number), early.get(number));
  // The late page has what was published before it was there.
  assertEquals(Math.min(...numbers), Math.min(...early.keys()));
  const work = [...later.values()].map(({ published }) => published);
  assertEquals(work.some((published) => published >= 5_000), true, `${work}`);
  for (const page of [first, late]) {
    assertEquals(await overflow(page), 0);
    await page.locator("summary").click();
  }
  const label = /^Readers: 2, \d to 2 in \d+ seconds$/;
  await late.getByRole("img", { name: label }).waitFor();
  await look(late, "dashboard-small");
  await late.emulateMedia({ colorScheme: "dark" });
  await look(late, "dashboard-small-dark");
  await first.emulateMedia({ colorScheme: "dark" });
  await look(first, "dashboard-dark");
});

test("Dashboard: a page whose link was cut says so, and resumes without a hole", async () => {
  await using dashboard = await Example.start(DASHBOARD);
  await using wire = await Proxy.start(Number(new URL(dashboard.url).port));
  await using visitors = await Visitors.start();
  const [there, away, button] = await Promise.all([
    open(visitors, dashboard.url),
    open(visitors, wire.url(dashboard.url), 375, 720),
    open(visitors, dashboard.url),
  ]);
  await Promise.all([there, away, button].map((page) => samples(page, 3)));
  wire.refuse();
  wire.cut();
  await button.getByRole("button", { name: "Cut my link" }).click();
  await state(away, "Reconnecting").waitFor();
  await state(button, "Cut, back in 10 seconds").waitFor();
  await look(button, "dashboard-cut");
  await there.getByRole("button", { name: "Publish 5,000 events" }).click();
  await samples(there, 9);
  assertEquals((await read(there)).size > (await read(away)).size, true);
  await look(away, "dashboard-small-cut");
  await wire.accept();
  for (const page of [away, button]) {
    await state(page, "Live").waitFor();
    await legend(page, "received once the link was back").waitFor();
    assertEquals(await legend(page, "numbers may be missing here").count(), 0);
    const numbers = [...(await read(page)).keys()].sort((one, other) => one - other);
    assertEquals(numbers, Array.from(numbers, (_, index) => numbers[0]! + index));
    assertEquals(await page.locator("figure:first-child .line").count(), 1);
  }
  // What they have now is what the one has that was there all the time.
  await samples(there, 18);
  const all = await read(there);
  for (const page of [away, button]) {
    for (const [number, sample] of await read(page)) {
      if (all.has(number)) assertEquals(sample, all.get(number));
    }
  }
  await button.locator("summary").click();
  await button.locator("figure:nth-child(2) svg").hover({ position: { x: 380, y: 80 } });
  await look(button, "dashboard-hover");
  await button.mouse.move(0, 0);
  await look(button, "dashboard");
  await look(away, "dashboard-small-resumed");
});

test("Dashboard: what a server in memory had is marked as missing when it starts again", async () => {
  await using dashboard = await Example.start(DASHBOARD);
  await using visitors = await Visitors.start();
  const page = await open(visitors, dashboard.url);
  await samples(page, 2);
  await dashboard.stop("SIGKILL");
  await state(page, "Reconnecting").waitFor();
  await dashboard.start();
  await legend(page, "numbers may be missing here").waitFor();
  assertEquals(await legend(page, "process").count(), 2);
  await look(page, "dashboard-gap");
});

test(
  "Dashboard: with a log at a broker, two processes and one before them are on every page",
  async () => {
    await using redis = await startRedis();
    const url = redis.url.replace("redis:", "redis-stream:");
    await using one = await Example.start(DASHBOARD, url);
    await using visitors = await Visitors.start();
    const page = await open(visitors, one.url);
    await samples(page, 3);
    await one.stop("SIGKILL");
    await state(page, "Reconnecting").waitFor();
    await one.start();
    await using other = await Example.start(DASHBOARD, url);
    const late = await open(visitors, other.url, 375, 720);
    for (const each of [page, late]) {
      await legend(each, "process").nth(2).waitFor();
      assertEquals(await legend(each, "numbers may be missing here").count(), 0);
      assertEquals(await overflow(each), 0);
    }
    await look(late, "dashboard-small-processes");
  },
  "redis",
);

test("Dashboard: without a log, a page begins with what comes", async () => {
  await using dashboard = await Example.start(DASHBOARD, "memory://?history=0");
  await using visitors = await Visitors.start();
  const first = await open(visitors, dashboard.url);
  await samples(first, 3);
  const late = await open(visitors, dashboard.url);
  await samples(late, 1);
  assert(Math.min(...(await read(late)).keys()) > Math.min(...(await read(first)).keys()));
});

/** Opens the page, with its table. */
async function open(visitors: Visitors, url: string, ...size: number[]): Promise<Page> {
  const page = await visitors.open(url, ...size);
  await state(page, "Live").waitFor();
  await page.locator("summary").click();
  await page.evaluate("scrollTo(0, 0)");
  return page;
}

/** Waits for so many of them. */
async function samples(page: Page, count: number): Promise<void> {
  await page.locator("tbody tr").nth(count - 1).waitFor({ state: "attached" });
}

/** Waits until the newest sample has so many readers. */
async function readers(page: Page, count: number): Promise<void> {
  await page.locator("tbody tr:first-child td:last-child").getByText(`${count}`, { exact: true })
    .waitFor({ state: "attached" });
}

/** What the table says, by the number of the sample. */
async function read(page: Page): Promise<Map<number, { text: string; published: number }>> {
  const rows = await page.locator("tbody tr").evaluateAll((all) =>
    all.map(({ children }) => Array.from(children, ({ textContent }) => textContent))
  );
  const samples = new Map(rows.map((cells) => {
    const published = Number(cells[5]!.replace(",", ""));
    return [Number(cells[2]), { text: cells.join(" "), published }];
  }));
  assertEquals(samples.size, rows.length, "A sample is there twice");
  return samples;
}

function legend(page: Page, words: string): Locator {
  return page.getByRole("list", { name: "Legend" }).getByRole("listitem").filter({
    hasText: words,
  });
}

function state(page: Page, words: string): Locator {
  return page.getByRole("status").getByText(words, { exact: true });
}
