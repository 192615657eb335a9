/** The page is made of the record, and shows all of it. */

import { join } from "node:path";
import { assert, assertEquals } from "@std/assert";
import { Page, textOf } from "./page.ts";
import { load, merged } from "./record.ts";
import { FURTHER_ROWS, ROWS } from "./rows.ts";
import { RUN, sampleOf } from "./sample.ts";

const LATER = { ...RUN, date: "2026-02-03T04:05:06.000Z", commit: "1234567" };

Deno.test("every row has its figures on the page, and its run", () => {
  const text = textOf(sampleOf());
  for (const { name } of [...ROWS, ...FURTHER_ROWS]) {
    assert(text.includes(`\`${name}\`: `), `${name} has no figures`);
    assert(text.split("## Runs")[1]!.includes(`\`${name}\``), `${name} has no run`);
  }
  assert(text.includes("2 cores, a processor"), "the machine is missing");
  assert(text.includes("a-peer 1.2.3"), "the peers are missing");
});

Deno.test("each chart is there in light and dark, and each picture leads to them", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const page = new Page(folder);
    await page.keep(sampleOf(ROWS));
    await page.draw();
    const text = await Deno.readTextFile(join(folder, "benchmarks.md"));
    const named = [...text.matchAll(/(?:src|srcset)="\.\/benchmarks\/([^"]+)"/g)].map(([, name]) =>
      name!
    );
    const drawn = (await Array.fromAsync(Deno.readDir(join(folder, "benchmarks"))))
      .map(({ name }) => name).filter((name) => name.endsWith(".svg"));
    assertEquals(named.toSorted(), drawn.toSorted());
    assert(named.includes("summary-dark.svg"), named.join());
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a partial run leaves what it did not race as it is", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const [first, second] = [sampleOf(ROWS), sampleOf(ROWS.slice(0, 1), LATER)];
    await new Page(folder).keep(first);
    await new Page(folder).keep(second);
    const kept = await load(join(folder, "benchmarks", "results.json"));
    assertEquals(kept, merged(first, second));
    const runs = textOf(kept).split("## Runs")[1]!;
    assert(runs.includes(`| ${LATER.commit} |`), "the second run is missing");
    assert(runs.includes(`| ${RUN.commit} |`), "the first run is missing");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
