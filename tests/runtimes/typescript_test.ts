import { join } from "node:path";
import { assertEquals } from "@std/assert";
import { CLIENTS } from "../../core/backend/kit/client_library.ts";
import config from "../../deno.json" with { type: "json" };
import type { App } from "./app.ts";
import { said } from "./process.ts";
import { Tarball } from "./tarball.ts";

const STRICT = ["--noEmit", "--strict", "--exactOptionalPropertyTypes", "--skipLibCheck", "false"];

const RESOLUTIONS = [
  ["--module", "node16"],
  ["--module", "esnext", "--moduleResolution", "bundler"],
];

/** A server on Node need not know the DOM. */
const NODE = ["--target", "es2023", "--lib", "es2023", "--types", "node"];

/** A page knows no Node. */
const PAGE = ["--target", "es2023", "--lib", "es2023,esnext.disposable,dom,dom.asynciterable"];

/** The versions of TypeScript, and what the folders are called that they are installed in. */
const VERSIONS = { "5.9": "typescript-5.9", latest: "typescript-latest" };

let tarball: Tarball;
/** Has the package, without any client. */
let app: App;

Deno.test.beforeAll(async () => {
  tarball = await Tarball.pack();
  const compilers = Object.entries(VERSIONS).map(([version, folder]) =>
    `${folder}@npm:typescript@${version}`
  );
  app = await tarball.install("@types/node", ...compilers);
  await app.add(join(import.meta.dirname!, "usage.ts"));
});

Deno.test.afterAll(async () => {
  for (const created of [app, tarball]) await created?.[Symbol.asyncDispose]();
});

for (const version of Object.keys(VERSIONS) as (keyof typeof VERSIONS)[]) {
  Deno.test(`the npm package's types hold with TypeScript ${version}, on Node`, async () => {
    const errors = RESOLUTIONS.map((flags) => check(version, [...flags, ...NODE], "usage.ts"));
    assertEquals(await Promise.all(errors), ["", ""]);
  });
}

Deno.test("the npm package's types hold in a page", async () => {
  const flags = [...RESOLUTIONS[1]!, ...PAGE, "--types", ""];
  assertEquals(await check("latest", flags, "usage.ts"), "");
});

Deno.test("the types of each export hold beside its client", async () => {
  await app.install(...Object.entries(CLIENTS).map(([name, range]) => `${name}@${range}`));
  const lines = Object.keys(config.exports).map((subpath, number) =>
    `export * as export${number} from "${config.name}${subpath.slice(1)}";\n`
  );
  await app.write("exports.ts", lines.join(""));
  const errors = await check("latest", [...RESOLUTIONS[0]!, ...NODE], "exports.ts");
  // Those within a client's own types are not ours.
  const ours = errors.split(/\n(?=\S)/).filter((error) =>
    !/^node_modules\/(?!@broadcaster\/)/.test(error)
  );
  assertEquals(ours.join("\n"), "");
});

/** What a compiler finds wrong with a file of the app. */
async function check(
  version: keyof typeof VERSIONS,
  flags: string[],
  file: string,
): Promise<string> {
  const compiler = join("node_modules", VERSIONS[version], "bin", "tsc");
  return said(await app.run("node", [compiler, ...STRICT, ...flags, file]));
}
