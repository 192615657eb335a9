/** The types of the npm package hold for every compiler, resolution and environment of an application. */

import { join } from "node:path";
import { assertEquals, assertStringIncludes } from "@std/assert";
import { CLIENTS } from "../../core/backend/kit/client_library.ts";
import config from "../../deno.json" with { type: "json" };
import { App } from "./app.ts";
import { said } from "./process.ts";
import { Tarball } from "./tarball.ts";

/** The versions of TypeScript, the oldest one first. */
const VERSIONS = ["5.6", "5.7", "5.8", "5.9", "6.0", "latest"];

const STRICT = ["--noEmit", "--strict", "--exactOptionalPropertyTypes", "--skipLibCheck", "false"];

const RESOLUTIONS = [
  ["--module", "node16"],
  ["--module", "nodenext"],
  ["--module", "esnext", "--moduleResolution", "bundler"],
];

/** Where an application runs: what it has installed, and what its compiler is told. */
const ENVIRONMENTS = [
  { name: "on Node 20", types: "20", flags: ["--lib", "es2023", "--types", "node"] },
  { name: "on Node 24", types: "24", flags: ["--lib", "es2023", "--types", "node"] },
  { name: "on Node 24 with the DOM", types: "24", flags: ["--types", "node"] },
  {
    name: "in a page, without clients",
    types: undefined,
    flags: ["--lib", "es2023,esnext.disposable,dom,dom.asynciterable"],
  },
];

let tarball: Tarball;
let compilers: App;
/** The applications, by their version of Node's types. */
const apps = new Map<string | undefined, App>();

Deno.test.beforeAll(async () => {
  tarball = await Tarball.pack();
  compilers = await App.create();
  await compilers.install(...VERSIONS.map((version) => `ts-${version}@npm:typescript@${version}`));
  const clients = Object.entries(CLIENTS).map(([name, range]) => `${name}@${range}`);
  for (const types of new Set(ENVIRONMENTS.map(({ types }) => types))) {
    const app = await tarball.install(...types ? [`@types/node@${types}`, ...clients] : []);
    apps.set(types, app);
    await app.add(join(import.meta.dirname!, "usage.ts"));
    const lines = Object.keys(config.exports).map((subpath, number) =>
      `export * as export${number} from "${config.name}${subpath.slice(1)}";\n`
    );
    await app.write("exports.ts", lines.join(""));
  }
});

Deno.test.afterAll(async () => {
  for (const created of [...apps.values(), compilers, tarball]) {
    await created?.[Symbol.asyncDispose]();
  }
});

for (const [row, version] of VERSIONS.entries()) {
  Deno.test(`the npm package's types hold with TypeScript ${version}`, async () => {
    const found = await Promise.all(ENVIRONMENTS.map(async ({ name, types, flags }, column) => {
      // Each pair of a version, a resolution and an environment has its turn.
      const resolution = RESOLUTIONS[(row + column) % RESOLUTIONS.length]!;
      const files = types === undefined ? ["usage.ts"] : ["usage.ts", "exports.ts"];
      return [name, await check(version, types, [...resolution, ...flags, ...files])];
    }));
    assertEquals(found, ENVIRONMENTS.map(({ name }) => [name, ""]));
  });
}

Deno.test("a mistake in the use of the npm package is one for every compiler", async () => {
  const text = `import { Broadcast } from "${config.name}";\nnew Broadcast(7);\n`;
  await apps.get("24")!.write("mistake.ts", text);
  const found = VERSIONS.map((version) =>
    check(version, "24", [...RESOLUTIONS[1]!, "--types", "node", "mistake.ts"])
  );
  for (const errors of await Promise.all(found)) assertStringIncludes(errors, "mistake.ts(2,");
});

/** What a compiler finds wrong with files of an app. What is wrong within a client's types is not ours. */
async function check(version: string, types: string | undefined, args: string[]): Promise<string> {
  const compiler = join(compilers.folder, "node_modules", `ts-${version}`, "bin", "tsc");
  const flags = [...STRICT, "--target", "es2023", "--pretty", "false"];
  const outcome = await apps.get(types)!.run("node", [compiler, ...flags, ...args]);
  return said(outcome).split(/\n(?=\S)/)
    .filter((error) => !/^node_modules\/(?!@broadcaster\/)/.test(error))
    .join("\n");
}
