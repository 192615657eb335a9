/** The npm package passes the conformance suite on Node and Bun, on every broker that was found. */

import { assertEquals, assertMatch } from "@std/assert";
import { LocatedHarnesses } from "../backends/harnesses.ts";
import { Secured } from "../backends/postgres/secured.ts";
import { Installed, PROVIDED, testOn } from "./apps.ts";
import { said } from "./process.ts";

const located = new LocatedHarnesses();
const installed = new Installed(["suite.mjs", "disconnect.mjs"], { withClients: true });
Deno.test.afterAll(() => located[Symbol.asyncDispose]());

/** On the newest Node the package passes it in memory, see `npm_test.ts`: the versions between are enough. */
const WHOLE = ["Node 20", "Node 22", "Node 24", "Bun"];
const names = located.data.map(({ name }) => name).join(", ");
for (const runtime of PROVIDED.filter(({ name }) => WHOLE.includes(name))) {
  testOn(runtime, `passes the suite of the npm package on ${names}`, async (path) => {
    const outcome = await installed.app.run(path, ["suite.mjs", JSON.stringify(located.data)]);
    assertEquals(outcome.code, 0, said(outcome));
    assertMatch(outcome.stdout, /^([1-9]\d*) of \1 passed\n$/);
    assertEquals(outcome.stderr, "");
  });

  // Destroying a socket below TLS ends the process on Node 20.
  testOn(runtime, "disconnects from Postgres over TLS, time and again", async (path) => {
    await using secured = await Secured.start("DNS:localhost");
    const urls = ["postgres", "postgres-stream"].map((scheme) =>
      `${scheme}://postgres@localhost:${secured.server.port}/postgres?ca=${secured.certificate}`
    );
    const outcome = await installed.app.run(path, ["disconnect.mjs", ...urls, ...urls, ...urls]);
    assertEquals(outcome, { code: 0, stdout: "disconnected\n".repeat(6), stderr: "" });
  });
}
