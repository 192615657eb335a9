/** The narrowest permissions with which MQTT works on Deno. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { uniqueChannel } from "../../conformance/harness.ts";
import { withBroker } from "../../services/broker.ts";
import { runWith } from "../narrow_permissions.ts";

withBroker("mqtt", (url) => {
  Deno.test("mqtt: it needs the network of its server, and no variable that its client looks for", async () => {
    const network = `--allow-net=${new URL(url).host}`;
    const channel = uniqueChannel();
    assertEquals(await runWith([network, "--ignore-env"], url, channel), "hello");
    assertStringIncludes(await runWith([network], url, channel), "--allow-env");
  });
});
