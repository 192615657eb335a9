/** The layers of the code: each imports only those below it, and no imports form a circle. */

import { dirname, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { assert, assertEquals } from "@std/assert";
import config from "../../deno.json" with { type: "json" };
import { succeed } from "../runtimes/process.ts";
import { PROJECT } from "../runtimes/tarball.ts";
import { published } from "./published.ts";

/** The folders of the core, from the ground up: each imports itself, and those before it. */
const LAYERS = [
  ...["util", "backend", "codec", "broker", "log", "fanout", "api"],
  ...["delivery", "sse", "websocket", "otel"],
];
/** What a backend may import of the core. */
const GROUND = ["util", "backend"];
/** All that is at the top level: the code, and the single files that people look for. */
const TOP_LEVEL = [
  ...["backends", "cli", "core", "docs", "examples", "tests"],
  ...["deno.json", "mod.ts", "README.md", "LICENSE"],
  ...["CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"],
];

/** One file uses another. */
interface Import {
  readonly from: string;
  readonly to: string;
  /** Whether it takes more than types, which are gone once it runs. */
  readonly isValue: boolean;
}

const MODULES = (await published())
  .filter(({ path }) => /^(mod\.ts|(core|backends|cli)\/.*)$/.test(path));
const PATHS = new Set(MODULES.map(({ path }) => path));
const IMPORTS = await importsFrom(
  ...Object.values(config.exports).filter((path) => !path.startsWith("./tests/")),
);

Deno.test("every import leads to a file that is published", () => {
  assert(IMPORTS.length > 300, `${IMPORTS.length} imports`);
  assertEquals(IMPORTS.filter(({ to }) => !PATHS.has(to)), []);
});

Deno.test("each layer of the core imports only those below it", () => {
  const folders = new Set(MODULES.flatMap(({ path }) => path.match(/^core\/(\w+)\//)?.[1] ?? []));
  assertEquals([...folders].sort(), LAYERS.toSorted());
  const upwards = IMPORTS.filter(({ from, to }) =>
    from.startsWith("core/") && !(levelOf(to) <= levelOf(from))
  );
  assertEquals(upwards, []);
});

Deno.test("a backend imports its own folder and the ground, and no other backend", () => {
  const beyond = IMPORTS.filter(({ from, to }) => {
    const [top, broker] = from.split("/");
    if (top !== "backends") return false;
    return !to.startsWith(`backends/${broker}/`) &&
      !GROUND.some((layer) => to.startsWith(`core/${layer}/`));
  });
  assertEquals(beyond, []);
});

Deno.test("nothing that applications import imports the terminal command", () => {
  const found = IMPORTS.filter(({ from, to }) => to.startsWith("cli/") && !from.startsWith("cli/"));
  assertEquals(found, []);
});

Deno.test("no folders import each other in a circle", () => {
  const between = IMPORTS.map(({ from, to }) => ({ from: roomOf(from), to: roomOf(to) }))
    .filter(({ from, to }) => from !== to);
  assertEquals(circles(between), []);
});

Deno.test("no files import each other's values in a circle", () => {
  assertEquals(circles(IMPORTS.filter(({ isValue }) => isValue)), []);
});

Deno.test("a circle is found", () => {
  const edges = ["ab", "bc", "cb", "cd", "dd"].map(([from, to]) => ({ from: from!, to: to! }));
  assertEquals(circles(edges), ["b", "c", "d"]);
});

Deno.test("the top level has its folders and files, and nothing else", async () => {
  const names: string[] = [];
  for await (const { name } of Deno.readDir(PROJECT)) {
    if (!name.startsWith(".") && !/^(coverage|node_modules)$|\.tgz$/.test(name)) names.push(name);
  }
  assertEquals(names.filter((name) => !TOP_LEVEL.includes(name)), []);
});

/** What the files import of each other: what is imported later is not needed to load a file. */
async function importsFrom(...entries: string[]): Promise<Import[]> {
  const found = new Map<string, Import>();
  for (const entry of entries) {
    const args = ["info", "--json", entry];
    const { stdout } = await succeed(Deno.execPath(), args, { cwd: PROJECT });
    const { modules } = JSON.parse(stdout) as { modules: Module[] };
    for (const { local, dependencies = [] } of modules) {
      if (!local) continue;
      for (const { code, type, isDynamic = false } of dependencies) {
        const target = code?.specifier ?? type?.specifier;
        if (!target?.startsWith("file:")) continue;
        const [from, to] = [pathOf(local), pathOf(fileURLToPath(target))];
        found.set(`${from} ${to}`, { from, to, isValue: code !== undefined && !isDynamic });
      }
    }
  }
  return [...found.values()];
}

/** A module of `deno info`. What is imported for its types alone has no `code`. */
interface Module {
  readonly local?: string;
  readonly dependencies?: readonly {
    readonly code?: { readonly specifier: string };
    readonly type?: { readonly specifier: string };
    readonly isDynamic?: boolean;
  }[];
}

function pathOf(file: string): string {
  return relative(PROJECT, file).replaceAll("\\", "/");
}

/** The layer of a file of the core, as a number; what is not of the core is above all of it. */
function levelOf(path: string): number {
  const [top, layer] = path.replace(/\.ts$/, "").split("/");
  return top === "core" ? LAYERS.indexOf(layer!) : LAYERS.length;
}

/** The folder of a file; a file that has a folder of its name stands alone, above that folder. */
function roomOf(path: string): string {
  const room = path.replace(/\.ts$/, "");
  return [...PATHS].some((other) => other.startsWith(`${room}/`)) ? path : dirname(path);
}

/** All that is on a circle. */
function circles(edges: readonly { readonly from: string; readonly to: string }[]): string[] {
  const next = Map.groupBy(edges, ({ from }) => from);
  function reaches(start: string, goal: string): boolean {
    const seen = new Set<string>();
    const open = [start];
    for (let at = open.pop(); at !== undefined; at = open.pop()) {
      for (const { to } of next.get(at) ?? []) {
        if (to === goal) return true;
        if (!seen.has(to)) open.push(to);
        seen.add(to);
      }
    }
    return false;
  }
  return [...next.keys()].filter((name) => reaches(name, name)).sort();
}
