/** What checks packages for npm finds nothing wrong with ours. */

import { join } from "node:path";
import { assertEquals, assertStringIncludes } from "@std/assert";
import config from "../../deno.json" with { type: "json" };
import { App } from "../runtimes/app.ts";
import { said } from "../runtimes/process.ts";
import { Tarball } from "../runtimes/tarball.ts";

let tarball: Tarball;
let app: App;

Deno.test.beforeAll(async () => {
  tarball = await Tarball.pack();
  app = await App.create();
  await app.install("publint", "@arethetypeswrong/cli");
});

Deno.test.afterAll(async () => {
  for (const created of [app, tarball]) await created?.[Symbol.asyncDispose]();
});

Deno.test("publint has nothing to suggest", async () => {
  const outcome = await app.run(binary("publint"), ["run", "--strict", tarball.path]);
  assertEquals(outcome.code, 0, said(outcome));
  assertStringIncludes(outcome.stdout, "All good!");
});

Deno.test("attw finds the types of every export, where modules are imported", async () => {
  const args = [tarball.path, "--profile", "esm-only", "--no-color"];
  const outcome = await app.run(binary("attw"), args);
  assertEquals(outcome.code, 0, said(outcome));
  assertStringIncludes(outcome.stdout, `${config.name}/conformance`);
});

function binary(name: string): string {
  return join(app.folder, "node_modules", ".bin", name);
}
