/** The site is built: a link that leads nowhere fails it, and it asks no other server for anything. */

import { join } from "node:path";
import { assert, assertEquals } from "@std/assert";
import { filesOf } from "../package/published.ts";
import { PAGES } from "./pages.ts";
import { build, DIST } from "./site.ts";

Deno.test("the site has every page, and loads nothing of other servers", async () => {
  await build();
  const files = await filesOf(DIST);
  for (const { path } of PAGES) {
    if (path !== "README.md") assert(files.includes(path.slice(5).replace(/md$/, "html")), path);
  }
  for (const file of files) {
    if (!/\.(html|css)$/.test(file)) continue;
    const text = await Deno.readTextFile(join(DIST, file));
    const loaded = [...text.matchAll(/(?:src="|<link[^>]*href="|url\()(https?:[^")]*)/g)];
    assertEquals(loaded.map(([, url]) => url), [], file);
  }
  const charts = await Deno.readTextFile(join(DIST, "benchmarks.html"));
  assertEquals([charts.includes("<picture"), /class="dark-only" alt="[^"]+"/.test(charts)], [
    false,
    true,
  ]);
  assert(files.some((file) => file.includes("VPLocalSearch")), "there is no search");
});
