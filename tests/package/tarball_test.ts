/** The tarball that `deno task pack` makes: what is in it, and what npm shows of it. */

import { basename, dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { CLIENTS } from "../../core/backend/kit/client_library.ts";
import config from "../../deno.json" with { type: "json" };
import { App } from "../runtimes/app.ts";
import { said } from "../runtimes/process.ts";
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

const FIRST_MESSAGE = `
import { Broadcast } from ${JSON.stringify(config.name)};
const broadcast = new Broadcast("memory://");
const subscription = await broadcast.subscribe("chatroom");
await broadcast.publish("chatroom", "hello");
for await (const { message } of subscription) {
  console.log(message);
  break;
}
await broadcast.disconnect();
`;

/** What esbuild tells of a bundle. */
interface Bundle {
  readonly outputs: Readonly<
    Record<string, {
      readonly entryPoint?: string;
      readonly imports: readonly { readonly path: string; readonly kind: string }[];
    }>
  >;
}

/** The scripts of the package that a script imports; literal specifiers alone. */
function importsIn(path: string, text: string) {
  const found = text.matchAll(
    /^(?:import|export) .*? from '(\..*?)';|\bimport\((['"])(\..*?)\2\)/gm,
  );
  return [...found].map(([, fixed, , later]) => ({
    target: join(dirname(path), fixed ?? later!),
    isLater: later !== undefined,
  }));
}

/** What scripts need to be loaded, themselves included. */
function neededBy(...paths: string[]): Set<string> {
  const needed = new Set(paths);
  for (const path of needed) {
    for (const { target, isLater } of importsIn(path, text(path))) if (!isLater) needed.add(target);
  }
  return needed;
}

/** A file of the tarball. */
function text(path: string): string {
  const text = texts.get(path.replace(/^\.\//, ""));
  assert(text !== undefined, `no file ${path}`);
  return text;
}

Deno.test("the tarball has declarations of every module, fewer scripts, and three files more", () => {
  const paths = [...texts.keys()];
  const modules = MODULES.map(({ path }) => path.replace(/\.ts$/, ""));
  const declarations = paths.filter((path) => path.endsWith(".d.ts"));
  assertEquals(declarations.filter((path) => !modules.includes(path.replace(".d.ts", ""))), []);
  const scripts = paths.filter((path) => path.endsWith(".js"));
  assert(scripts.length < modules.length / 3, `${scripts.length} scripts`);
  const rest = ["LICENSE", "README.md", "package.json"];
  assertEquals(paths.sort(), [...declarations, ...scripts, ...rest].sort());
});

Deno.test("every import of a script leads to one, and none is for its effects alone", () => {
  for (const [path, text] of texts) {
    if (!path.endsWith(".js")) continue;
    for (const { target } of importsIn(path, text)) assert(texts.has(target), `${path}: ${target}`);
    assert(!/^import ["']/m.test(text), path);
  }
});

Deno.test("no class was renamed: errors are recognized by the names of their classes", () => {
  const renamed = [...texts].flatMap(([path, text]) =>
    path.endsWith(".js") ? text.match(/^.*\bclass \w+\$.*$/gm) ?? [] : []
  );
  assertEquals(renamed, []);
});

Deno.test("a first message on memory:// needs four scripts, and no other file", async () => {
  const needed = [...neededBy("mod.js", "backends/memory/log.js")].sort();
  assertEquals(needed, ["backends/memory/log.js", "core/core.js", "core/ground.js", "mod.js"]);
  await using app = await App.create();
  for (const path of [...needed, "package.json"]) {
    const folder = join("node_modules", config.name, dirname(path));
    await Deno.mkdir(join(app.folder, folder), { recursive: true });
    await app.write(join(folder, basename(path)), text(path));
  }
  await app.write("main.js", FIRST_MESSAGE);
  const outcome = await app.run("node", ["main.js"]);
  assertEquals(outcome, { code: 0, stdout: "hello\n", stderr: "" });
});

Deno.test("redis:// and redis-stream:// to one host need no code of clusters or sentinels", () => {
  for (const role of ["pubsub", "log"]) {
    const needed = [...neededBy(`backends/redis/${role}.js`)];
    assertEquals(needed.filter((path) => /cluster|sentinel/.test(path)), []);
  }
});

Deno.test("bundled, minified and compressed, the core with memory:// has at most 35 kB", async () => {
  const bytes = await bundled(
    `export { Broadcast } from ${JSON.stringify(config.name)};`,
    "memory",
  );
  assert(bytes > 20_000 && bytes <= 35_000, `${bytes} bytes`);
});

Deno.test("bundled, minified and compressed, a codec or an error alone has at most 10 kB", async () => {
  for (const name of ["json", "ConnectionError"]) {
    const bytes = await bundled(`export { ${name} } from ${JSON.stringify(config.name)};`);
    assert(bytes > 1_000 && bytes <= 10_000, `${bytes} bytes of ${name}`);
  }
});

/** The compressed bytes of what a program loads, with a backend that is loaded on demand. */
async function bundled(program: string, backend?: string): Promise<number> {
  await using app = await tarball.install("esbuild");
  await app.write("main.js", program);
  const flags = ["--bundle", "--minify", "--splitting", "--format=esm", "--platform=neutral"];
  const external = ["node:*", ...Object.keys(CLIENTS)].map((name) => `--external:${name}`);
  const args = ["main.js", "--outdir=out", "--metafile=meta.json", ...flags, ...external];
  const outcome = await app.run(join(app.folder, "node_modules", ".bin", "esbuild"), args);
  assertEquals(outcome.code, 0, said(outcome));
  assert(!said(outcome).includes("WARNING"), said(outcome));
  const { outputs } = JSON.parse(await Deno.readTextFile(join(app.folder, "meta.json"))) as Bundle;
  const entries = ["main.js", ...backend ? [`/${backend}/log.js`] : []];
  const loaded = Object.keys(outputs)
    .filter((path) => entries.some((entry) => outputs[path]!.entryPoint?.endsWith(entry)));
  assertEquals(loaded.length, entries.length);
  for (const path of loaded) {
    for (const { kind, path: next } of outputs[path]!.imports) {
      if (kind === "import-statement" && !loaded.includes(next)) loaded.push(next);
    }
  }
  const sizes = await Promise.all(loaded.map(async (path) => {
    return gzipSync(await Deno.readFile(join(app.folder, path)), { level: 9 }).length;
  }));
  return sizes.reduce((sum, size) => sum + size);
}

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
    bin: { broadcaster: "./cli/mod.js" },
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
  const others = ["dependencies", "optionalDependencies", "scripts"];
  assertEquals(others.filter((field) => field in rest), []);
});

Deno.test("a shell runs the terminal command with Node", () => {
  const { bin } = JSON.parse(text("package.json"));
  for (const path of Object.values<string>(bin)) {
    assert(text(path).startsWith("#!/usr/bin/env node\n"), path);
  }
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
    const [path, anchor] = link.replace(/^\S+\/(blob|raw)\/HEAD\//, "").split("#");
    if (link.startsWith(REPOSITORY)) await Deno.stat(join(PROJECT, path!));
    else if (path === "") assert(headings.includes(anchor!), link);
    else assertMatch(link, /^https:\/\//);
  }
});

Deno.test("the packed README is that of the project, but for its links", async () => {
  const readme = await Deno.readTextFile(join(PROJECT, "README.md"));
  const withoutLinks = (text: string) =>
    text.replace(/\]\([^\s)]+\)/g, "]()").replace(/(?<=src(?:set)?=")[^"]+/g, "");
  assertEquals(withoutLinks(text("README.md")), withoutLinks(readme));
  for (const [, source] of text("README.md").matchAll(/src(?:set)?="([^"]+)/g)) {
    assertStringIncludes(source!, `${REPOSITORY}/raw/HEAD/docs/`);
  }
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
