/** What the documents say can be lost without notice is true: exactly what they name can be lost. */

import { join } from "node:path";
import { assert, assertEquals } from "@std/assert";
import { FACTS } from "../docs/facts.ts";
import { LOSSES, PROMISES, type Shown } from "./claims.ts";

Deno.test("the documents have the losses that are shown here", () => {
  assertEquals(
    FACTS.map(({ schemes: [scheme], loses }): [string, string] => [scheme, loses]),
    Object.entries(LOSSES).map(([scheme, { cell }]) => [scheme, cell]),
  );
});

Deno.test("the tests that show it elsewhere are there", async () => {
  const losses = Object.values(LOSSES).flatMap(({ elsewhere }) => elsewhere);
  const promises = Object.values(PROMISES).flat();
  for (const shown of new Set([...losses, ...promises])) await assertThere(shown);
});

async function assertThere([file, title]: Shown): Promise<void> {
  const source = await Deno.readTextFile(join(import.meta.dirname!, "..", file));
  assert(source.includes(title), `${file} has no "${title}"`);
}
