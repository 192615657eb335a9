/** The tarball that `deno task pack` makes: what is in it, and what npm shows of it. */

import { join } from "node:path";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { CLIENTS } from "../../core/backend/kit/client_library.ts";
import config from "../../deno.json" with { type: "json" };
import { PROJECT, Tarball } from "../runtimes/tarball.ts";
import { REPOSITORY } from "./manifest.ts";
import { filesOf, published } from "./published.ts";

const MODULES = (await published()).filter(({ path }) => path.endsWith(".ts"));
const MODULE_DOC = /^\/\*\*(?:(?!\*\/)[^])*@module\b(?:(?!\*\/)[^])*\*\//;

let tarball: Tarball;
/** The texts of its files, by path. */
const texts = new Map<string, string>();

Deno.test.beforeAll(async () => {
  tarball = await Tarball.pack();
  const folder = await tarball.unpack();
  for (const path of await filesOf(folder)) {
    texts.set(path, await Deno.readTextFile(join(folder, path)));
  }
});
Deno.test.afterAll(() => tarball?.[Symbol.asyncDispose]());

/** A file of the tarball. */
function text(path: string): string {
  const text = texts.get(path.replace(/^\.\//, ""));
  assert(text !== undefined, `no file ${path}`);
  return text;
}

Deno.test("the tarball has every module, its declarations, and three files more", () => {
  const declarations = [...texts.keys()].filter((path) => path.endsWith(".d.ts"));
  const scripts = MODULES.map(({ path }) => path.replace(/\.ts$/, ".js"));
  const rest = ["LICENSE", "README.md", "package.json"];
  assertEquals([...texts.keys()].sort(), [...declarations, ...scripts, ...rest].sort());
});

Deno.test("the manifest says what the package is, and where it comes from", () => {
  const { exports: _exports, peerDependencies: _, peerDependenciesMeta: __, files: ___, ...rest } =
    JSON.parse(text("package.json"));
  const { name, version, description, license } = config;
  const { keywords, ...fields } = rest;
  assertEquals(fields, {
    ...{ name, version, description, license },
    homepage: `${REPOSITORY}#readme`,
    bugs: { url: `${REPOSITORY}/issues` },
    repository: { type: "git", url: `git+${REPOSITORY}.git` },
    type: "module",
    main: "./mod.js",
    types: "./mod.d.ts",
    sideEffects: false,
    engines: { node: ">=20" },
  });
  assert(keywords.length > 5);
  assertEquals(keywords, [...new Set(keywords)]);
});

Deno.test("each export has types and a module, and package.json can be read", () => {
  const { exports } = JSON.parse(text("package.json"));
  const expected = Object.entries(config.exports).map(([subpath, target]) => {
    const file = target.replace(/\.ts$/, "");
    return [subpath, { types: `${file}.d.ts`, import: `${file}.js`, default: `${file}.js` }];
  });
  assertEquals(exports, {
    ...Object.fromEntries(expected),
    "./package.json": "./package.json",
  });
  for (const [, targets] of expected) Object.values(targets!).forEach(text);
});

Deno.test("the package depends on nothing, and each client is an optional peer", () => {
  const { peerDependencies, peerDependenciesMeta, ...rest } = JSON.parse(text("package.json"));
  assertEquals(peerDependencies, CLIENTS);
  const optional = Object.keys(CLIENTS).map((name) => [name, { optional: true }]);
  assertEquals(peerDependenciesMeta, Object.fromEntries(optional));
  const others = ["dependencies", "optionalDependencies", "scripts", "bin"];
  assertEquals(others.filter((field) => field in rest), []);
});

Deno.test("every declaration begins with the head of its module", () => {
  const sources = new Map(MODULES.map(({ path, text }) => [path.replace(/\.ts$/, ".d.ts"), text]));
  const declarations = [...texts].filter(([path]) => path.endsWith(".d.ts"));
  assert(declarations.length > Object.keys(config.exports).length);
  for (const [path, text] of declarations) {
    const [head] = MODULE_DOC.exec(sources.get(path) ?? "") ?? [];
    assert(head !== undefined && text.startsWith(head), path);
    assertEquals(text.split("@module").length, 2, path);
  }
});

Deno.test("every link of the packed README leads somewhere", async () => {
  const readme = text("README.md");
  const links = [...readme.matchAll(/\]\(([^\s)]+)\)/g)].map(([, link]) => link!);
  const headings = [...readme.matchAll(/^#+ (.*)$/gm)].map(([, heading]) => anchorOf(heading!));
  assert(links.length > 5);
  for (const link of links) {
    const [path, anchor] = link.replace(`${REPOSITORY}/blob/HEAD/`, "").split("#");
    if (link.startsWith(REPOSITORY)) await Deno.stat(join(PROJECT, path!));
    else if (path === "") assert(headings.includes(anchor!), link);
    else assertMatch(link, /^https:\/\//);
  }
});

Deno.test("the packed README is that of the project, but for its links", async () => {
  const readme = await Deno.readTextFile(join(PROJECT, "README.md"));
  const withoutLinks = (text: string) => text.replace(/\]\([^\s)]+\)/g, "]()");
  assertEquals(withoutLinks(text("README.md")), withoutLinks(readme));
  const fences = (text: string) => text.match(/^```[^]*?^```/gm);
  assertEquals(fences(text("README.md")), fences(readme));
  assertStringIncludes(text("LICENSE"), "MIT License");
});

Deno.test("the tarball names no folder of the machine that packed it", () => {
  for (const [path, text] of texts) assert(!text.includes(PROJECT), path);
});

/** The anchor that GitHub and npm give a heading. */
function anchorOf(heading: string): string {
  return heading.toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, "").replaceAll(" ", "-");
}
