/** An application on Deno can use the package with whatever its compiler is told. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import config from "../../deno.json" with { type: "json" };
import { run, said } from "./process.ts";
import { Registry } from "./jsr.ts";
import { PROJECT } from "./tarball.ts";

/** What Deno leaves off unless told otherwise. */
const OFF = [
  "erasableSyntaxOnly",
  "exactOptionalPropertyTypes",
  "noFallthroughCasesInSwitch",
  "noImplicitReturns",
  "noPropertyAccessFromIndexSignature",
  "noUncheckedIndexedAccess",
  "noUnusedLocals",
  "noUnusedParameters",
  "verbatimModuleSyntax",
];

/** What Deno has on unless told otherwise. */
const ON = [
  "noImplicitAny",
  "noImplicitOverride",
  "noImplicitThis",
  "strict",
  "strictBindCallApply",
  "strictBuiltinIteratorReturn",
  "strictFunctionTypes",
  "strictNullChecks",
  "strictPropertyInitialization",
  "useUnknownInCatchVariables",
];

const STRICTEST = Object.fromEntries(OFF.map((flag) => [flag, true]));

const FLIPPED: Record<string, unknown>[] = [
  {},
  ...OFF.map((flag) => ({ [flag]: true })),
  ...ON.map((flag) => ({ [flag]: false })),
  STRICTEST,
  { lib: ["deno.window", "dom"] },
  { lib: ["esnext", "dom", "dom.iterable", "dom.asynciterable"] },
];

let registry: Registry;
let scratch: string;
/** The application. */
let folder: string;

Deno.test.beforeAll(async () => {
  registry = await Registry.open();
  scratch = await Deno.makeTempDir({ prefix: "deno-" });
  folder = join(scratch, "app");
  await Deno.mkdir(folder);
  await Deno.copyFile(join(import.meta.dirname!, "usage.ts"), join(folder, "usage.ts"));
  const lines = Object.keys(config.exports).map((subpath, number) =>
    `export * as export${number} from "${config.name}${subpath.slice(1)}";\n`
  );
  await Deno.writeTextFile(join(folder, "exports.ts"), lines.join(""));
  const mistake = `import { Broadcast } from "${config.name}";\nnew Broadcast(7);\n`;
  await Deno.writeTextFile(join(folder, "mistake.ts"), mistake);
});

Deno.test.afterAll(async () => {
  await registry?.[Symbol.asyncDispose]();
  if (scratch) await Deno.remove(scratch, { recursive: true });
});

for (const options of FLIPPED) {
  Deno.test(`the package of JSR holds with ${JSON.stringify(options)}`, async () => {
    assertEquals(await check(ofJsr(), options, ["usage.ts", "exports.ts"]), []);
  });
}

for (const options of [{}, STRICTEST]) {
  Deno.test(`the source holds from elsewhere with ${JSON.stringify(options)}`, async () => {
    assertEquals(await check(ofSource(), options, ["usage.ts", "exports.ts"]), []);
  });
}

Deno.test("a mistake in the use of the package is one", async () => {
  for (const imports of [ofJsr(), ofSource()]) {
    const [error = ""] = await check(imports, {}, ["mistake.ts"]);
    assertStringIncludes(error, "mistake.ts:2:");
  }
});

function ofJsr(): Record<string, string> {
  return { [config.name]: `jsr:${config.name}@^${config.version}` };
}

function ofSource(): Record<string, string> {
  const exports = Object.entries(config.exports).map(([subpath, target]) => [
    config.name + subpath.slice(1),
    pathToFileURL(join(PROJECT, target)).href,
  ]);
  return { ...config.imports, ...config.scopes["./"], ...Object.fromEntries(exports) };
}

/** What Deno finds wrong with files of the application, or with ours. What is wrong within a client's types is not ours. */
async function check(
  imports: Record<string, string>,
  compilerOptions: Record<string, unknown>,
  files: string[],
): Promise<string[]> {
  const settings = JSON.stringify({ imports, compilerOptions });
  await Deno.writeTextFile(join(folder, "deno.json"), settings);
  const outcome = await run(Deno.execPath(), ["check", "--all", "--no-lock", ...files], {
    cwd: folder,
    env: { JSR_URL: registry.url, DENO_DIR: join(scratch, "cache") },
  });
  const output = said(outcome);
  const errors = output.split(/\n(?=TS\d+ )/).filter((error) => /^TS\d+ /.test(error));
  // Without one, the exit code is the message.
  if (errors.length === 0 && outcome.code !== 0) return [output];
  return errors.filter((error) =>
    [registry.url, pathToFileURL(folder).href, pathToFileURL(PROJECT).href]
      .some((place) => error.includes(`at ${place}`))
  );
}
