import { assertEquals } from "@std/assert";
import type { Locator, Page } from "npm:playwright-core@1.64.1";
import { Proxy } from "../services/proxy.ts";
import { Example, look, test, Visitors } from "./example.ts";

test("Events: pages get them, reconnect by themselves, and get the next ones", async () => {
  await using sse = await Example.start("examples/sse.ts");
  await using visitors = await Visitors.start();
  const writer = await visitors.open(sse.url);
  const reader = await visitors.open(sse.url);
  await Promise.all([state(writer, "Live").waitFor(), state(reader, "Live").waitFor()]);
  await publish(writer, "<b>First</b>");
  for (const page of [writer, reader]) await item(page, "<b>First</b>").waitFor();
  await look(reader, "sse");
  await sse.stop("SIGKILL");
  await state(reader, "Reconnecting").waitFor();
  await sse.start();
  await Promise.all([state(writer, "Live").waitFor(), state(reader, "Live").waitFor()]);
  // The new process cannot know what the old one had.
  await item(reader, "Some news may be missing here.").waitFor();
  const response = await fetch(new URL("publish", sse.url), {
    method: "POST",
    body: "Second\nline",
  });
  assertEquals(response.status, 204);
  for (const page of [writer, reader]) await item(page, "Second\nline").waitFor();
  assertEquals(await reader.locator("li b").count(), 0);
});

test("Events: a page that was away for a moment has missed nothing", async () => {
  await using sse = await Example.start("examples/sse.ts");
  await using wire = await Proxy.start(Number(new URL(sse.url).port));
  await using visitors = await Visitors.start();
  const writer = await visitors.open(sse.url);
  const reader = await visitors.open(wire.url(sse.url));
  await Promise.all([state(writer, "Live").waitFor(), state(reader, "Live").waitFor()]);
  await publish(writer, "before");
  await item(reader, "before").waitFor();
  wire.refuse();
  wire.cut();
  await state(reader, "Reconnecting").waitFor();
  await publish(writer, "meanwhile");
  await item(writer, "meanwhile").waitFor();
  await wire.accept();
  await item(reader, "meanwhile").waitFor();
  assertEquals(await reader.locator("li").count(), 2);
});

async function publish(page: Page, text: string): Promise<void> {
  await page.getByLabel("Your news").fill(text);
  await page.getByRole("button", { name: "Publish" }).click();
}

function item(page: Page, text: string): Locator {
  return page.getByRole("log").locator("li", { hasText: text });
}

function state(page: Page, words: string): Locator {
  return page.getByRole("status").getByText(words, { exact: true });
}
