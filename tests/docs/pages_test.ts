/** The documents are whole: their tables are those of the data, and what they name is there. */

import { dirname, join } from "node:path";
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { Broadcast } from "../../mod.ts";
import { REPOSITORY } from "../package/manifest.ts";
import { SCHEMES } from "../package/schemes.ts";
import { DRAWINGS } from "./drawings.ts";
import { FACTS } from "./facts.ts";
import { COMMON, knownTo, PARAMETERS } from "./parameters.ts";
import { filled, PAGES, ROOT, SNIPPETS } from "./pages.ts";

const CONFIG = await Deno.readTextFile(join(ROOT, "docs/.vitepress/config.mjs"));

Deno.test("the tables are made of the data: deno task docs:generate makes them anew", () => {
  for (const page of PAGES) assertEquals(flat(filled(page)), flat(page.text), page.path);
  const tables = PAGES.map(({ text }) => text.match(/<!-- table: /g)?.length ?? 0);
  assert(tables.reduce((sum, count) => sum + count) > 20);
});

Deno.test("the drawings are made of the data, and have a page", async () => {
  const gaps = PAGES.find(({ path }) => path === "docs/delivery-and-gaps.md")!;
  for (const [path, drawing] of DRAWINGS) {
    assertEquals(flat(await Deno.readTextFile(join(ROOT, path))), flat(drawing), path);
    assertStringIncludes(gaps.text, path.replace("docs/", ""));
  }
});

Deno.test("every cause of a gap has a drawing and a heading", async () => {
  const source = await Deno.readTextFile(join(ROOT, "core/backend/event.ts"));
  const [type] = /export type GapCause =[^;]*/.exec(source)!;
  const causes = [...type.matchAll(/"(\w+)"/g)].map(([, cause]) => cause!);
  const gaps = PAGES.find(({ path }) => path === "docs/delivery-and-gaps.md")!;
  const headings = [...gaps.text.matchAll(/^## (\w+)$/gm)].map(([, heading]) => heading!);
  assertEquals(headings.sort(), causes.sort());
  assertEquals([...DRAWINGS.keys()].sort(), causes.map((cause) => `docs/images/gap-${cause}.svg`));
});

Deno.test("every parameter of a scheme is on the page of its broker, and no other one is", () => {
  const common = COMMON.flatMap(({ names }) => names);
  for (const { schemes: [scheme], page } of FACTS) {
    const meanings = PARAMETERS[page]?.meanings ?? [];
    const named = meanings.filter(({ only = scheme }) => only === scheme)
      .flatMap(({ names }) => names);
    assertEquals([...common, ...named].sort(), knownTo(scheme).sort(), scheme);
  }
});

Deno.test("the defaults of the options that every scheme has are accepted", () => {
  for (const { names: [name], standard } of COMMON) {
    new Broadcast(`memory://?${name}=${standard}`);
  }
});

Deno.test("parameters without a meaning are accepted, and others say what to do", () => {
  for (const { schemes: [scheme], page } of FACTS) {
    const { ignored = [], hints = {} } = PARAMETERS[page] ?? {};
    for (const name of ignored) new Broadcast(`${scheme}://host?${name}=1`);
    for (const [name, hint] of Object.entries(hints)) {
      assertThrows(() => new Broadcast(`${scheme}://host?${name}=1`), TypeError, hint);
    }
  }
});

Deno.test("every URL of a broker in the documents is accepted", () => {
  const names = SCHEMES.flatMap(({ name, alias = name }) => [name, alias]).join("|");
  const pattern = new RegExp(`(?<![\\w-])(?:${names})(?:\\+unix)?://[^\\s"'\`|…[\\]]*`, "g");
  const urls = new Set(PAGES.flatMap(({ text }) => text.match(pattern) ?? []));
  assert(urls.size > 60);
  for (const url of urls) {
    try {
      new Broadcast(url.replace(/[.,;]$/, ""));
    } catch (error) {
      throw new Error(`${url} is refused`, { cause: error });
    }
  }
});

Deno.test("every page is in the sidebar, once, by its heading", () => {
  const links = [...CONFIG.matchAll(/link: "(\/[^"]+)"/g)].map(([, link]) => link!);
  const sidebar = CONFIG.slice(CONFIG.indexOf("const SIDEBAR"), CONFIG.indexOf("];\n"));
  const listed = [...sidebar.matchAll(/link: "(\/[^"]+)"/g)].map(([, link]) => `docs${link}.md`);
  const paths = PAGES.map(({ path }) => path)
    .filter((path) => path !== "README.md" && path !== "docs/index.md");
  assertEquals(listed.sort(), paths);
  assert(links.length > listed.length);
  for (const { path, text } of PAGES) {
    if (path === "docs/index.md") continue;
    assertEquals(prose(text).match(/^# .+$/gm)?.length, 1, path);
  }
});

Deno.test("the site links to the repository", () => assertStringIncludes(CONFIG, REPOSITORY));

Deno.test("every link to a file leads to one, and every anchor to a heading", async () => {
  for (const { path, text } of PAGES) {
    for (const [, link] of prose(text).matchAll(/\]\(([^\s)]+)\)/g)) {
      if (/^[a-z]+:/.test(link!)) continue;
      const [file, anchor] = link!.split("#");
      const target = file === "" ? path : join(dirname(path), file!);
      const found = await Deno.readTextFile(join(ROOT, target)).catch(() => undefined);
      assert(found !== undefined, `${path}: there is no ${link}`);
      if (anchor !== undefined) assert(anchorsOf(found).includes(anchor), `${path}: ${link}`);
    }
  }
});

Deno.test("the README is short", () => {
  const readme = PAGES.find(({ path }) => path === "README.md")!;
  assert(readme.text.split("\n").length < 150);
});

Deno.test("every block of code says what it is", () => {
  for (const { path, text } of PAGES) {
    const fences = text.match(/^```/gm)?.length ?? 0;
    assertEquals(fences, 2 * SNIPPETS.filter(({ page }) => page === path).length, path);
  }
  const known = ["ts", "ts ignore", "js ignore", "sql", "sh", "nginx", "text"];
  assertEquals(SNIPPETS.filter(({ kind }) => !known.includes(kind)), []);
});

/** Without the layout that `deno fmt` gives. */
function flat(text: string): string {
  return text.replace(/-{3,}/g, "---").replace(/\s+/g, " ").replace(/ (?=[|>])|(?<=>) /g, "");
}

/** Without blocks of code. */
function prose(text: string): string {
  return text.replace(/^```[^]*?^```$/gm, "");
}

/** The anchors that GitHub and VitePress give headings. */
function anchorsOf(text: string): string[] {
  return [...prose(text).matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    heading!.toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, "").trim().replaceAll(" ", "-")
  );
}
