/** Event streams of `node:http` let go of every client, on every runtime that has it. */

import { assertEquals } from "@std/assert";
import { Installed, PROVIDED, testOn } from "./apps.ts";
import { said } from "./process.ts";

const installed = new Installed(["http.mjs"]);

for (const runtime of PROVIDED) {
  testOn(runtime, "sends event streams with node:http", async (path) => {
    const outcome = await installed.app.run(path, ["http.mjs"], { timeout: 120_000 });
    assertEquals(outcome.code, 0, said(outcome));
    assertEquals(outcome.stderr, "");
  });
}
