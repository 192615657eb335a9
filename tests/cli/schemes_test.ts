/** The command on every broker: what `pub` publishes, `sub` writes, and `history` where there is a log. */

import { assertEquals, assertMatch } from "@std/assert";
import { uniqueChannel } from "../conformance/harness.ts";
import { withBroker } from "../services/broker.ts";
import { SCHEMES, withScheme } from "./brokers.ts";
import { broadcaster, Running } from "./command.ts";

for (const { name, broker, hasLog } of SCHEMES) {
  withBroker(broker, (found) => {
    const url = withScheme(found, name);

    Deno.test(`${name}: sub writes what pub publishes`, async () => {
      const channel = uniqueChannel();
      await using sub = new Running(["sub", url, channel, "--count", "3", "-v"]);
      await sub.said("stderr", "subscribed to");
      const pub = await broadcaster(["pub", url, channel], { input: "one\ntwo\nthré\n" });
      assertEquals(pub, { code: 0, stdout: "", stderr: "" });
      const { code, stdout, stderr } = await sub.ended();
      assertEquals({ code, stdout }, { code: 0, stdout: "one\ntwo\nthré\n" });
      assertEquals(stderr, `subscribed to "${channel}"\n`);
    });

    Deno.test(`${name}: history writes the past, or tells which schemes have one`, async () => {
      const channel = uniqueChannel();
      await broadcaster(["pub", url, channel], { input: "one\ntwo\n" });
      const { code, stdout, stderr } = await broadcaster(["history", url, channel]);
      if (hasLog) assertEquals({ code, stdout, stderr }, { code: 0, stdout: "one\ntwo\n", stderr });
      else {
        assertEquals({ code, stdout }, { code: 1, stdout: "" });
        assertMatch(stderr, /^error: Cannot read history of .*-stream/);
      }
    });
  });
}
