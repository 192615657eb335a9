import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { Locator, Page } from "npm:playwright-core@1.64.1";
import { Proxy } from "../services/proxy.ts";
import { Example, look, overflow, run, test, Visitors } from "./example.ts";

const TOKENS = "examples/tokens.ts";

test("Tokens: everybody reads the same words, early, late or too late, and it is done", async () => {
  await using tokens = await Example.start(TOKENS);
  await using visitors = await Visitors.start();
  const first = await visitors.open(tokens.url);
  await look(first, "tokens-ready");
  const address = await ask(first);
  await answer(first).getByText("I have no idea").waitFor();
  const late = await visitors.open(address);
  await answer(late).getByText("You have asked").waitFor();
  await late.reload();
  await Promise.all([done(first), done(late)]);
  const words = await read(first);
  assertMatch(words, /^You have asked: “Why\?” .* nobody waits for more\.$/s);
  assertEquals(await read(late), words);
  const tooLate = await visitors.open(address);
  await done(tooLate);
  assertEquals(await read(tooLate), words);
  await look(tooLate, "tokens-done");
  // A client that knows nothing of the end is told not to come back.
  const run = new URL(address).searchParams.get("run");
  const text = await (await fetch(new URL(`runs/${run}`, tokens.url))).text();
  assertMatch(text, /retry: 2147483647\nevent: end\ndata: end\n\n$/);
});

test("Tokens: a reload and a second device read from the first word on, while it is written", async () => {
  await using tokens = await Example.start(TOKENS, "memory://", "--hostname", "0.0.0.0");
  await using wire = await Proxy.start(Number(new URL(tokens.url).port));
  await using visitors = await Visitors.start();
  const page = await visitors.open(tokens.url);
  const address = await ask(page);
  await answer(page).getByText("for a better answer").waitFor();
  const device = await visitors.open(wire.url(address), 375, 720);
  await answer(device).getByText("for a better answer").waitFor();
  await look(page, "tokens");
  await look(device, "tokens-small");
  await device.emulateMedia({ colorScheme: "dark" });
  await look(device, "tokens-small-dark");
  await page.reload();
  await answer(page).getByText("for a better answer").waitFor();
  // One is ahead of the other by what came between the two looks, and by no other word.
  const [one, other] = await Promise.all([read(page), read(device)]);
  assertEquals(one.startsWith(other) || other.startsWith(one), true, `${one}\n${other}`);
  for (const each of [page, device]) await status(each, "Writing").waitFor();
  wire.refuse();
  wire.cut();
  await status(device, "Reconnecting").waitFor();
  await look(device, "tokens-small-cut");
  await wire.accept();
  await Promise.all([done(page), done(device)]);
  const words = await read(page);
  assertMatch(words, /^You have asked: “Why\?” .* nobody waits for more\.$/s);
  assertEquals(await read(device), words);
  for (const each of [page, device]) assertEquals(await overflow(each), 0);
});

test("Tokens: another device uses the address that the server prints", async () => {
  const own = Deno.networkInterfaces().find(({ family, address }) =>
    family === "IPv4" && !address.startsWith("127.")
  );
  const host = own?.address ?? "localhost";
  await using tokens = await Example.start(TOKENS, "memory://", "--hostname", "0.0.0.0");
  await using visitors = await Visitors.start();
  const device = await visitors.open(tokens.url.replace("localhost", host), 375, 720);
  assertEquals(new URL(await ask(device)).hostname, host);
  await answer(device).getByText("I have no idea").waitFor();
  // It is told of its own address, and not how to get one.
  await device.getByRole("link", { name: device.url() }).waitFor();
  assertEquals(await device.getByText("--hostname").isVisible(), false);
  await look(device, "tokens-small-device");
  const { output } = await tokens.stop();
  assertStringIncludes(output, `Tokens on http://${host}:${new URL(tokens.url).port} over memory`);
});

Deno.test("Tokens: they need a log", async () => {
  const { code, stderr } = await run(TOKENS, "memory://?history=0");
  assertEquals(code, 1);
  assertMatch(stderr, /^Cannot read history of "run": memory keeps no log[^\n]*\n$/);
});

/** Asks, and tells the address of the answer. */
async function ask(page: Page): Promise<string> {
  await page.getByLabel("Your question").fill("Why?");
  await page.getByRole("button", { name: "Ask" }).click();
  await page.waitForURL(/run=/);
  return page.url();
}

function answer(page: Page): Locator {
  return page.getByRole("log");
}

async function read(page: Page): Promise<string> {
  return (await answer(page).textContent())!;
}

function status(page: Page, words: string): Locator {
  return page.getByRole("status").getByText(words, { exact: true });
}

function done(page: Page): Promise<void> {
  return status(page, "Done").waitFor();
}
