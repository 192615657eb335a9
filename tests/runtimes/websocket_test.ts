/** Events are sent to the WebSockets of every runtime that has a server for them. */

import { assertEquals } from "@std/assert";
import { Installed, PROVIDED, testOn } from "./apps.ts";
import { said } from "./process.ts";

const installed = new Installed(["websocket.mjs"], { packages: ["ws"] });

for (const runtime of PROVIDED) {
  testOn(runtime, "sends events to WebSockets", async (path) => {
    const outcome = await installed.app.run(path, ["websocket.mjs"], { timeout: 60_000 });
    assertEquals(
      [outcome.code, outcome.stdout, outcome.stderr],
      [0, "passed\n", ""],
      said(outcome),
    );
  });
}
