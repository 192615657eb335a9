/** Diagnostics channels and the debug log, on Node and Bun. */

import { assertEquals } from "@std/assert";
import { Installed, PROVIDED, testOn } from "./apps.ts";
import { said } from "./process.ts";

const installed = new Installed(["observe.mjs"]);

for (const runtime of PROVIDED) {
  for (const name of ["NODE_DEBUG", "DEBUG"]) {
    testOn(runtime, `tells what a broadcast does, and logs it with ${name}`, async (path) => {
      const env = { [name]: "broadcaster" };
      const outcome = await installed.app.run(path, ["observe.mjs"], { env });
      assertEquals(outcome.code, 0, said(outcome));
      const lines = outcome.stderr.trimEnd().split("\n").map((line) =>
        line.replace(/^BROADCASTER \d+: (\w+)( "100%s")?.*/, "$1$2")
      );
      const expected = ["gap", "subscribe", "publish"].map((what) => `${what} "100%s"`);
      assertEquals(lines, ["connected", ...expected, "closed"], outcome.stderr);
    });
  }
}
