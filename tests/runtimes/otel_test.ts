/** `instrument()` of the npm package, with the SDK of OpenTelemetry, on Node and Bun. */

import { assertEquals } from "@std/assert";
import { CLIENTS } from "../../core/backend/kit/client_library.ts";
import { Installed, PROVIDED, testOn } from "./apps.ts";

const installed = new Installed(["otel.mjs"], {
  packages: [
    `@opentelemetry/api@${CLIENTS["@opentelemetry/api"]}`,
    ...["core", "context-async-hooks", "sdk-trace-base"].map((name) =>
      `@opentelemetry/${name}@^2.0.0`
    ),
  ],
});

for (const runtime of PROVIDED) {
  testOn(
    runtime,
    "traces an event from its publisher to the process that receives it",
    async (path) => {
      const outcome = await installed.app.run(path, ["otel.mjs"]);
      assertEquals(outcome, { code: 0, stdout: "", stderr: "" });
    },
  );
}
