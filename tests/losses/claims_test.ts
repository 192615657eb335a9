/** The README's column "can be lost without notice" is true: what it names is lost, and nothing else. */

import { join } from "node:path";
import { assert, assertEquals } from "@std/assert";
import { README, ROWS } from "../docs/readme.ts";
import { LOSSES, PROMISES, type Shown } from "./claims.ts";

Deno.test("the README says of each broker what is shown here to be lost without notice", () => {
  assertEquals(
    ROWS.map(({ schemes, cells }) => [schemes[0], cells["can be lost without notice"]]),
    Object.entries(LOSSES).map(([scheme, { cell }]) => [scheme, cell]),
  );
});

Deno.test("the README says of all brokers what is shown to hold on each", () => {
  const start = README.indexOf("On each of them: ");
  const paragraph = README.slice(start, README.indexOf("\n\n", start)).replaceAll("\n", " ");
  const claims = PROMISES.map(([claim]) => claim).join("; ");
  assertEquals(paragraph, `On each of them: ${claims}.`);
});

Deno.test("the tests that show it elsewhere are there", async () => {
  const losses = Object.values(LOSSES).flatMap(({ elsewhere }) => elsewhere);
  const promises = PROMISES.flatMap(([, shown]) => shown);
  for (const shown of new Set([...losses, ...promises])) await assertThere(shown);
});

async function assertThere([file, title]: Shown): Promise<void> {
  const source = await Deno.readTextFile(join(import.meta.dirname!, "..", file));
  assert(source.includes(title), `${file} has no "${title}"`);
}
