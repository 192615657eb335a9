import { assertEquals, assertMatch } from "@std/assert";
import type { Locator, Page } from "npm:playwright-core@1.64.1";
import { Example, look, test, Visitors } from "./example.ts";

test("Tokens: everybody reads the same words, early, late or too late, and it is done", async () => {
  await using tokens = await Example.start("examples/tokens.ts");
  await using visitors = await Visitors.start();
  const first = await visitors.open(tokens.url);
  await first.getByLabel("Your question").fill("Why?");
  await first.getByRole("button", { name: "Ask" }).click();
  await first.waitForURL(/run=/);
  const address = first.url();
  await answer(first).getByText("I have no idea").waitFor();
  const late = await visitors.open(address);
  await answer(late).getByText("You have asked").waitFor();
  await look(late, "tokens");
  await late.reload();
  await Promise.all([done(first), done(late)]);
  const words = await answer(first).textContent();
  assertMatch(words!, /^You have asked: “Why\?” .* ends the channel\.$/);
  assertEquals(await answer(late).textContent(), words);
  const tooLate = await visitors.open(address);
  await done(tooLate);
  assertEquals(await answer(tooLate).textContent(), words);
  // A client that knows nothing of the end is told not to come back.
  const run = new URL(address).searchParams.get("run");
  const text = await (await fetch(new URL(`runs/${run}`, tokens.url))).text();
  assertMatch(text, /retry: 2147483647\nevent: end\ndata: end\n\n$/);
});

function answer(page: Page): Locator {
  return page.getByRole("log");
}

function done(page: Page): Promise<void> {
  return page.getByRole("status").getByText("Done", { exact: true }).waitFor();
}
