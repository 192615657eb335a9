import { Broadcast } from "@broadcaster/broadcaster";
import { assertEquals, assertMatch } from "@std/assert";
import type { Locator, Page } from "npm:playwright-core@1.64.1";
import { Proxy } from "../services/proxy.ts";
import { start as startRedis } from "../services/redis.ts";
import { Example, look, overflow, run, test, Visitors } from "./example.ts";

const CHAT = "examples/chat.ts";

test("Chat: two people meet, talk and part", async () => {
  await using chat = await Example.start(CHAT);
  await using visitors = await Visitors.start();
  const ada = await visitors.open(chat.url);
  await live(ada);
  // Whoever has no name yet is there all the same, in front of the room.
  assertEquals(await ada.locator("#people h2").textContent(), "1 here");
  await look(ada, "chat-naming");
  await introduce(ada, "Ada");
  await ada.getByText("on memory://", { exact: true }).waitFor();
  await look(ada, "chat-empty");
  const bo = await join(visitors, chat.url, "Bo");
  await person(ada, "Bo").waitFor();
  await person(bo, "Ada").waitFor();
  await note(ada, "Bo joined").waitFor();
  await say(ada, "Good morning");
  await message(bo, "Good morning").waitFor();
  await say(bo, "Good evening");
  await message(ada, "Good evening").waitFor();
  await look(ada, "chat");
  await bo.close();
  await note(ada, "Bo left").waitFor();
  await person(ada, "Bo").waitFor({ state: "detached" });
});

test("Chat: what is written is shown as it was written", async () => {
  await using chat = await Example.start(CHAT);
  await using visitors = await Visitors.start();
  const ada = await join(visitors, chat.url, "<i>Ada</i>");
  const bo = await join(visitors, chat.url, "Bo 🦉");
  const texts = [
    `<img src=x onerror="throw Error('injected')"><b>bold</b> &amp; <script>throw 1</script>`,
    "one\n  two\n\nthree",
    "👩‍👩‍👧 and 🏳️‍🌈, naïve and 日本語",
    "See https://example.com/?a=1&b=2, then javascript:alert(1)",
    "w".repeat(2_000),
  ];
  for (const text of texts) await say(ada, text);
  for (const page of [ada, bo]) {
    await message(page, texts.at(-1)!).and(page.locator(":not(.pending *)")).waitFor();
    assertEquals(await page.locator(".message p").allTextContents(), texts);
    assertEquals(await page.locator("#log :is(img, b:not(.by b), script, i)").count(), 0);
    const links = page.locator("#log a");
    assertEquals(await links.evaluateAll((all) => all.map((a) => a.getAttribute("href"))), [
      "https://example.com/?a=1&b=2",
    ]);
    assertEquals(await overflow(page), 0);
  }
  assertEquals(await bo.locator(".by b").first().textContent(), "<i>Ada</i>");
});

test("Chat: Enter sends, Shift and Enter begins a new line, a name can be changed", async () => {
  await using chat = await Example.start(CHAT);
  await using visitors = await Visitors.start();
  const ada = await join(visitors, chat.url, "Ada");
  const bo = await join(visitors, chat.url, "Bo");
  await person(bo, "Ada").waitFor();
  // Where a page that was just joined puts the focus.
  await ada.keyboard.type("one");
  await ada.keyboard.press("Shift+Enter");
  await ada.keyboard.type("two");
  await ada.keyboard.press("Enter");
  await ada.keyboard.type("three");
  await ada.keyboard.press("Enter");
  await message(bo, "three").waitFor();
  assertEquals(await bo.locator(".message p").allTextContents(), ["one\ntwo", "three"]);
  await ada.getByRole("button", { name: "You are Ada" }).click();
  await ada.keyboard.type("Grace");
  await ada.keyboard.press("Enter");
  await note(bo, "Ada is now Grace").waitFor();
  await ada.reload();
  await live(ada);
  await ada.getByRole("button", { name: "You are Grace" }).waitFor();
  // A reload loses nothing that was said.
  await message(ada, "three").waitFor();
});

test("Chat: pages reconnect, and what was written meanwhile arrives once", async () => {
  await using chat = await Example.start(CHAT);
  await using visitors = await Visitors.start();
  const ada = await join(visitors, chat.url, "Ada");
  const bo = await join(visitors, chat.url, "Bo");
  const cy = await join(visitors, chat.url, "Cy");
  await say(ada, "before");
  for (const page of [bo, cy]) await message(page, "before").waitFor();
  await chat.stop("SIGKILL");
  await state(ada, "Reconnecting").waitFor();
  await state(bo, "Reconnecting").waitFor();
  await say(ada, "meanwhile");
  await ada.locator(".pending", { hasText: "Waiting to go out" }).waitFor();
  await look(ada, "chat-reconnecting");
  await chat.start();
  await Promise.all([ada, bo, cy].map(live));
  // The new process cannot know what the old one had: whoever is told asks the others.
  for (const page of [ada, bo, cy]) await note(page, "Some messages may be missing").waitFor();
  for (const page of [bo, cy]) await message(page, "meanwhile").waitFor();
  await say(bo, "after");
  for (const page of [ada, bo, cy]) {
    await message(page, "after").and(page.locator(":not(.pending *)")).waitFor();
    assertEquals(await page.locator(".message p").allTextContents(), [
      "before",
      "meanwhile",
      "after",
    ]);
  }
  await person(ada, "Bo").waitFor();
});

test("Chat: a page that was away for a moment has missed nothing", async () => {
  await using chat = await Example.start(CHAT);
  await using wire = await Proxy.start(Number(new URL(chat.url).port));
  await using visitors = await Visitors.start();
  const ada = await join(visitors, chat.url, "Ada");
  const bo = await join(visitors, wire.url(chat.url), "Bo");
  await person(ada, "Bo").waitFor();
  await say(ada, "before");
  await message(bo, "before").waitFor();
  wire.refuse();
  wire.cut();
  await state(bo, "Reconnecting").waitFor();
  await say(ada, "meanwhile");
  await say(bo, "I am away");
  await ada.locator(".pending").waitFor({ state: "detached" });
  await wire.accept();
  await live(bo);
  await message(ada, "I am away").waitFor();
  await message(bo, "meanwhile").waitFor();
  assertEquals(await bo.locator(".gap").count(), 0);
  assertEquals((await bo.locator(".message p").allTextContents()).sort(), [
    "I am away",
    "before",
    "meanwhile",
  ]);
});

test("Chat: who comes later sees what was said, and whoever comes back nothing twice", async () => {
  await using chat = await Example.start(CHAT);
  await using wire = await Proxy.start(Number(new URL(chat.url).port));
  await using visitors = await Visitors.start();
  const ada = await join(visitors, chat.url, "Ada");
  const bo = await join(visitors, chat.url, "Bo");
  for (const text of ["one", "two"]) await say(ada, text);
  await message(bo, "two").waitFor();
  await bo.close();
  await note(ada, "Bo left").waitFor();
  const cy = await join(visitors, wire.url(chat.url), "Cy");
  await message(cy, "two").waitFor();
  // What was said stays, but not who has come and gone meanwhile.
  assertEquals(await cy.locator(".message p").allTextContents(), ["one", "two"]);
  assertEquals(await note(cy, "Bo").count() + await person(cy, "Bo").count(), 0);
  await look(cy, "chat-history");
  wire.refuse();
  wire.cut();
  await state(cy, "Reconnecting").waitFor();
  await say(ada, "three");
  await ada.locator(".pending").waitFor({ state: "detached" });
  await wire.accept();
  await live(cy);
  await message(cy, "three").waitFor();
  await cy.reload();
  await live(cy);
  await say(ada, "four");
  await message(cy, "four").waitFor();
  assertEquals(await cy.locator(".message p").allTextContents(), ["one", "two", "three", "four"]);
  assertEquals(await cy.locator(".gap").count(), 0);
});

test("Chat: without a log, a page that was away before anything was said is told", async () => {
  await using chat = await Example.start(CHAT, "memory://?history=0");
  await using wire = await Proxy.start(Number(new URL(chat.url).port));
  await using visitors = await Visitors.start();
  const ada = await join(visitors, chat.url, "Ada");
  const bo = await join(visitors, wire.url(chat.url), "Bo");
  wire.refuse();
  wire.cut();
  await state(bo, "Reconnecting").waitFor();
  await say(ada, "meanwhile");
  await ada.locator(".pending").waitFor({ state: "detached" });
  await wire.accept();
  await note(bo, "Some messages may be missing").waitFor();
  // Whoever is told asks the others.
  await message(bo, "meanwhile").waitFor();
  const cy = await join(visitors, chat.url, "Cy");
  await person(cy, "Ada").waitFor();
  assertEquals(await cy.locator(".message").count(), 0);
});

test("Chat: a log at the broker outlives the server", async () => {
  await using redis = await startRedis();
  await using chat = await Example.start(CHAT, redis.url.replace("redis:", "redis-stream:"));
  await using visitors = await Visitors.start();
  const ada = await join(visitors, chat.url, "Ada");
  await say(ada, "before");
  await ada.locator(".pending").waitFor({ state: "detached" });
  await chat.stop("SIGKILL");
  await state(ada, "Reconnecting").waitFor();
  await say(ada, "meanwhile");
  await chat.start();
  await live(ada);
  const bo = await join(visitors, chat.url, "Bo");
  for (const page of [ada, bo]) {
    await message(page, "meanwhile").and(page.locator(":not(.pending *)")).waitFor();
    assertEquals(await page.locator(".message p").allTextContents(), ["before", "meanwhile"]);
    assertEquals(await page.locator(".gap").count(), 0);
  }
}, "redis");

test("Chat: a small screen has room for all of it", async () => {
  await using chat = await Example.start(CHAT);
  await using visitors = await Visitors.start();
  const ada = await join(visitors, chat.url, "Ada", 320, 568);
  await ada.locator("#empty").waitFor();
  const bo = await join(visitors, chat.url, "Bo");
  for (let line = 1; line <= 20; line++) await say(bo, `Line ${line} of ${"many".repeat(20)}`);
  await message(ada, `Line 20 of ${"many".repeat(20)}`).waitFor();
  assertEquals(await overflow(ada), 0);
  const { x, y, width, height } = (await box(ada).boundingBox())!;
  assertEquals(x >= 0 && y >= 0 && x + width <= 320 && y + height <= 568, true);
  // Whoever reads what was said before is not pulled away from it.
  await ada.locator(".message").first().scrollIntoViewIfNeeded();
  const latest = ada.locator("#latest");
  await latest.waitFor();
  await say(bo, "News");
  await latest.filter({ hasText: "1 new message" }).waitFor();
  await look(ada, "chat-small");
  await latest.click();
  await latest.waitFor({ state: "hidden" });
  await ada.getByRole("button", { name: "Who is here: 2" }).click();
  await person(ada, "Bo").waitFor();
  await ada.keyboard.press("Escape");
  await person(ada, "Bo").waitFor({ state: "hidden" });
  await chat.stop();
  await state(ada, "Reconnecting").waitFor();
  assertEquals(await overflow(ada), 0);
});

test("Chat: two processes share a room over Redis, also with strangers", async () => {
  const url = Deno.env.get("REDIS_URL")!;
  await using one = await Example.start(CHAT, url);
  await using other = await Example.start(CHAT, url);
  await using visitors = await Visitors.start();
  const [adaName, boName, text] = ["Ada", "Bo", "Hello"].map((name) =>
    `${name} ${crypto.randomUUID().slice(0, 8)}`
  ) as [string, string, string];
  const ada = await join(visitors, one.url, adaName);
  const bo = await join(visitors, other.url, boName);
  await person(ada, boName).waitFor();
  await person(bo, adaName).waitFor();
  await say(ada, text);
  await message(bo, text).waitFor();

  await using stranger = new Broadcast(url);
  await stranger.publish("chatroom", `{"kind":"message","text":"${text}"}`);
  await stranger.publish("chatroom", `Plain ${text}`);
  await message(bo, `Plain ${text}`).waitFor();
  assertEquals(await message(bo, text).count(), 1);
  const by = bo.locator(".message", { hasText: `Plain ${text}` }).locator("b");
  assertEquals(await by.textContent(), "someone");
}, "redis");

test("Chat: pages are told that the broker is lost, and send once it is back", async () => {
  await using redis = await startRedis();
  await using chat = await Example.start(CHAT, redis.url);
  await using visitors = await Visitors.start();
  const ada = await join(visitors, chat.url, "Ada");
  const bo = await join(visitors, chat.url, "Bo");
  await person(ada, "Bo").waitFor();
  await redis.stop("SIGKILL");
  await state(ada, "Broker lost, reconnecting").waitFor();
  await say(ada, "meanwhile");
  await ada.locator(".pending", { hasText: "Waiting to go out" }).waitFor();
  await look(ada, "chat-broker-lost");
  await redis.restart();
  await Promise.all([live(ada), live(bo)]);
  await message(bo, "meanwhile").waitFor();
  await note(bo, "Some messages may be missing").waitFor();
  assertEquals(await message(bo, "meanwhile").count(), 1);
}, "redis");

test("Chat: it stops in good order while pages are open", async () => {
  await using chat = await Example.start(CHAT);
  await using visitors = await Visitors.start();
  const ada = await visitors.open("about:blank");
  const closed = ada.waitForEvent("websocket").then((socket) => socket.waitForEvent("close"));
  await ada.goto(chat.url);
  await introduce(ada, "Ada");
  assertEquals(await chat.stop("SIGTERM"), {
    code: 0,
    output: `Chat on ${chat.url.slice(0, -1)} over memory://\n`,
  });
  await closed;
  await state(ada, "Reconnecting").waitFor();
});

Deno.test("Chat: it ends with the error's message when it cannot start", async () => {
  const unknown = await run(CHAT, "carrier-pigeon://roof");
  assertEquals(unknown.code, 1);
  assertMatch(unknown.stderr, /^Cannot open "carrier-pigeon:\/\/roof": unknown scheme .*\n$/);
  const { code, stderr } = await run(CHAT, "redis://user:secret@127.0.0.1:1");
  assertEquals(code, 1);
  assertMatch(stderr, /^Cannot connect to redis:\/\/127\.0\.0\.1:1: .*\n$/);
});

async function join(visitors: Visitors, url: string, name: string, ...size: number[]) {
  const page = await visitors.open(url, ...size);
  await introduce(page, name);
  return page;
}

/** Answers what a page asks first. */
async function introduce(page: Page, name: string): Promise<void> {
  await page.getByLabel("Name", { exact: true }).fill(name);
  await page.getByRole("button", { name: "Join" }).click();
  await live(page);
}

async function say(page: Page, text: string): Promise<void> {
  await box(page).fill(text);
  await box(page).press("Enter");
}

function box(page: Page): Locator {
  return page.getByLabel("Message", { exact: true });
}

function message(page: Page, text: string): Locator {
  return page.locator(".message p", { hasText: new RegExp(`^${RegExp.escape(text)}$`) });
}

function note(page: Page, text: string): Locator {
  return page.locator(".note", { hasText: text });
}

function person(page: Page, name: string): Locator {
  return page.getByLabel("Who is here", { exact: true }).locator("li", { hasText: name });
}

function state(page: Page, words: string): Locator {
  return page.getByRole("status").getByText(words, { exact: true });
}

async function live(page: Page): Promise<void> {
  await state(page, "Live").waitFor();
}
