/** The tables of the package, held against each other and against the files. */

import { join } from "node:path";
import { assertEquals, assertMatch } from "@std/assert";
import { CLIENTS } from "../client.ts";
import config from "../deno.json" with { type: "json" };
import { said, succeed } from "./node/process.ts";
import { PROJECT } from "./node/tarball.ts";
import { lets, published } from "./package/published.ts";
import { violations } from "./package/rules.ts";
import standIns from "./import_map.json" with { type: "json" };

const MAX_LINES = 300;

const EXPORTS: Record<string, string> = config.exports;
const FILES = await published();
const MODULES = FILES.filter(({ path }) => path.endsWith(".ts"));
const TEXTS = new Map(FILES.map(({ path, text }) => [path, text]));
/** The backends, by the names of their files as URLs have them. */
const BACKENDS = MODULES.flatMap(({ path, text }) => {
  const name = path.match(/^backends\/([a-z_]+)\.ts$/)?.[1];
  return name && /^export (async )?function open\(/m.test(text) ? [name.replaceAll("_", "-")] : [];
}).sort();

Deno.test("every export is a documented module, by the name of its file", () => {
  for (const [subpath, target] of Object.entries(EXPORTS)) {
    const path = target.replace("./", "");
    assertMatch(TEXTS.get(path) ?? `no file ${path}`, /^\/\*\*(?:(?!\*\/)[^])* @module\b/);
    const name = path.match(/([^/]+)\.ts$/)![1]!.replaceAll("_", "-");
    assertEquals(subpath, path === "mod.ts" ? "." : `./${name}`);
  }
});

Deno.test("every backend is exported, and served under its scheme", () => {
  const subpaths = Object.keys(EXPORTS).filter((name) => EXPORTS[name]!.startsWith("./backends/"));
  assertEquals(subpaths.sort(), BACKENDS.map((name) => `./${name}`));
  const rows = TEXTS.get("mod.ts")!.matchAll(
    /^ {2}"?([\w-]+)"?: scheme\(\s*\(\) => import\("\.\/backends\/(\w+)\.ts"\)/gm,
  );
  const schemes = [...rows].map(([, scheme, file]) => [scheme!, file!.replaceAll("_", "-")]);
  assertEquals([...new Set(schemes.map(([, file]) => file!))].sort(), BACKENDS);
  const own = schemes.filter(([scheme, file]) => scheme === file).map(([scheme]) => scheme!);
  assertEquals(own.sort(), BACKENDS);
});

Deno.test("every import of a backend in mod.ts is a row of its table", () => {
  const text = TEXTS.get("mod.ts")!;
  const table = text.slice(text.indexOf("const BACKENDS"), text.indexOf("\n};"));
  assertEquals(
    text.match(/import\(/g)?.length,
    table.match(/scheme\(\s*\(\) => import\("/g)?.length,
  );
});

Deno.test("every published module is exported, or used by one that is", async () => {
  const used = new Set<string>();
  for (const target of Object.values(EXPORTS)) {
    const args = ["info", "--json", target];
    const { stdout } = await succeed(Deno.execPath(), args, { cwd: PROJECT });
    const { modules } = JSON.parse(stdout) as { modules: { local?: string }[] };
    for (const { local } of modules) if (local) used.add(local);
  }
  const unused = MODULES.filter(({ path }) => !used.has(join(PROJECT, path)));
  assertEquals(unused.map(({ path }) => path), []);
});

Deno.test("client.ts and deno.json name the same clients, in the same versions", () => {
  const imports = Object.entries(config.imports).filter(([, target]) => target.startsWith("npm:"));
  const clients = Object.entries(CLIENTS).map(([name, range]) => [name, `npm:${name}@${range}`]);
  assertEquals(Object.fromEntries(imports), Object.fromEntries(clients));
});

Deno.test("the import map of the tests says what deno.json says", async () => {
  const expected = new Map<string, string>();
  for (const [subpath, target] of Object.entries(EXPORTS)) {
    const path = target.startsWith("./tests/") ? target.replace("tests/", "") : `.${target}`;
    expected.set(config.name + subpath.slice(1), path);
  }
  for (const [name, target] of Object.entries(config.imports)) {
    const standIn = name.replace(/^@std\/(.*)$/, "./std/$1.ts");
    expected.set(name, target.startsWith("jsr:") ? standIn : target);
  }
  assertEquals(standIns.imports as object, Object.fromEntries(expected));
  for (const target of expected.values()) {
    if (target.startsWith(".")) await Deno.stat(join(import.meta.dirname!, target));
  }
});

Deno.test("deno task doc:lint looks at every export", () => {
  const linted = config.tasks["doc:lint"].split(" ").filter((word) => word.endsWith(".ts"));
  assertEquals(linted.map((path) => `./${path}`).sort(), Object.values(EXPORTS).sort());
});

Deno.test("the rules find what published code must not contain", () => {
  const text = `import { Redis } from "ioredis";
import type { Sql } from "postgres";
export * from "jsr:@std/async";
const { kafka } = await import("npm:kafkajs");
Deno.exit(console.log(1 as any));
async () => { await using file = open(); };
Promise.withResolvers(Array.fromAsync([]));
enum Color { Red }`;
  const lines = violations("a.ts", text).map((line) => Number(line.split(":")[1]));
  assertEquals(lines.sort(), [1, 3, 4, 5, 5, 5, 6, 7, 7, 8]);
});

Deno.test("published code keeps the rules", () => {
  assertEquals(MODULES.flatMap(({ path, text }) => violations(path, text)), []);
});

Deno.test(`no published file is longer than ${MAX_LINES} lines`, () => {
  const lengths = MODULES.map(({ path, text }) => ({
    path,
    lines: text.trimEnd().split("\n").length,
  }));
  assertEquals(lengths.filter(({ lines }) => lines > MAX_LINES), []);
});

Deno.test("deno publish takes exactly the files of the allow-list", async () => {
  const idle = config.publish.include.filter((item) => !FILES.some(({ path }) => lets(item, path)));
  assertEquals(idle, []);
  const args = ["publish", "--dry-run", "--allow-dirty"];
  const outcome = await succeed(Deno.execPath(), args, { cwd: PROJECT });
  const listed = [...said(outcome).matchAll(/^ +file:\/\/(\S+) \(.*\)$/gm)].map(([, path]) =>
    path!
  );
  const expected = [...FILES.map(({ path }) => path), "deno.json"].map((path) =>
    join(PROJECT, path)
  );
  assertEquals(listed.sort(), expected.sort());
});

Deno.test("the version is a version", () => {
  assertMatch(config.version, /^\d+\.\d+\.\d+(-[\w.]+)?$/);
});
