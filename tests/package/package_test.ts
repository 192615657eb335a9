/** The tables of the package, held against each other and against the files. */

import { join } from "node:path";
import { assertEquals, assertMatch } from "@std/assert";
import { VERSION } from "../../cli/version.ts";
import { CLIENTS } from "../../core/backend/kit/client_library.ts";
import config from "../../deno.json" with { type: "json" };
import standIns from "../import_map.json" with { type: "json" };
import { succeed } from "../runtimes/process.ts";
import { PROJECT } from "../runtimes/tarball.ts";
import { published } from "./published.ts";
import rules from "./rules.ts";
import { SCHEMES } from "./schemes.ts";

const EXPORTS: Record<string, string> = config.exports;
const FILES = await published();
const MODULES = FILES.filter(({ path }) => path.endsWith(".ts"));
const TEXTS = new Map(FILES.map(({ path, text }) => [path, text]));
/** The subpaths of the modules that open a backend, by their files. */
const BACKENDS = new Map<string, string>(
  MODULES.filter(({ text }) => /^export (async )?function open\(/m.test(text))
    .map(({ path }) => [path, subpathOf(path)]),
);

/** `backends/redis/log.ts` is `./redis-stream`; a broker that has but one backend gives it its name. */
function subpathOf(path: string): string {
  const [, broker, role] = path.match(/^backends\/(\w+)\/(pubsub|log)\.ts$/)!;
  const both = ["pubsub", "log"].every((role) => TEXTS.has(`backends/${broker}/${role}.ts`));
  return `./${broker!.replaceAll("_", "-")}${both && role === "log" ? "-stream" : ""}`;
}

Deno.test("every export is a documented module", () => {
  for (const target of Object.values(EXPORTS)) {
    const path = target.replace("./", "");
    assertMatch(TEXTS.get(path) ?? `no file ${path}`, /^\/\*\*(?:(?!\*\/)[^])* @module\b/);
  }
});

Deno.test("every backend is exported under its scheme, and served under it", () => {
  const exported = Object.entries(EXPORTS).filter(([, path]) => /^\.\/backends\/\w+\//.test(path));
  assertEquals(
    exported.map(([subpath, path]) => [path.slice(2), subpath]).sort(),
    [...BACKENDS].sort(),
  );
  const served = SCHEMES.map(({ name, file }) => [file, `./${name}`]);
  assertEquals(served.sort(), [...BACKENDS].sort());
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

Deno.test("the list of clients and deno.json name the same clients, in the same versions", () => {
  const clients = Object.entries(CLIENTS).map(([name, range]) => [name, `npm:${name}@${range}`]);
  assertEquals(config.scopes["./"] as object, Object.fromEntries(clients));
});

Deno.test("the import map of the tests says what deno.json says", async () => {
  const expected = new Map<string, string>();
  for (const [subpath, target] of Object.entries(EXPORTS)) {
    const path = target.startsWith("./tests/") ? target.replace("tests/", "") : `.${target}`;
    expected.set(config.name + subpath.slice(1), path);
  }
  for (const [name, target] of Object.entries({ ...config.imports, ...config.scopes["./"] })) {
    const standIn = name.replace(/^@std\/(.*)$/, "./std/$1.ts");
    expected.set(name, target.startsWith("jsr:") ? standIn : target);
  }
  assertEquals(standIns.imports as object, Object.fromEntries(expected));
  for (const target of expected.values()) {
    if (target.startsWith(".")) await Deno.stat(join(import.meta.dirname!, "..", target));
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
enum Color { Red }
new TypeError(\`\${JSON.stringify(1)}: no "\${channel.name}", "\${NAME}", \${quote(name)}\`);
error instanceof Error;`;
  const lines = Deno.lint.runPlugin(rules, join(PROJECT, "mod.ts"), text)
    .map(({ range }) => text.slice(0, range[0]).split("\n").length);
  assertEquals(lines.sort((one, other) => one - other), [1, 3, 4, 5, 5, 5, 6, 7, 7, 8, 9, 9, 10]);
  assertEquals(Deno.lint.runPlugin(rules, join(PROJECT, "tests/run.ts"), text), []);
});

Deno.test("the package has a description that JSR takes, and a README with examples", () => {
  assertMatch(config.description, /^[^\n]{1,250}$/);
  assertMatch(TEXTS.get("README.md")!, /^```ts\n/m);
});

Deno.test("the version is a version, and the one that the terminal command tells", () => {
  assertMatch(config.version, /^\d+\.\d+\.\d+(-[\w.]+)?$/);
  assertEquals(VERSION, config.version);
});
