/** The README's column "can be lost without notice" is true: exactly what it names can be lost. */

import { join } from "node:path";
import { assert, assertEquals } from "@std/assert";
import { ROWS } from "../docs/readme.ts";
import { LOSSES, PROMISES, type Shown } from "./claims.ts";

Deno.test("the README's table has the losses that are shown here", () => {
  assertEquals(
    ROWS.map(({ schemes, cells }) => [schemes[0], cells["can be lost without notice"]]),
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
