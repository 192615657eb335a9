/** The narrowest permissions with which RabbitMQ works on Deno. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { uniqueChannel } from "../../conformance/harness.ts";
import { withBroker } from "../../services/broker.ts";
import { runWith } from "../narrow_permissions.ts";
import { removeStreams } from "./log/remove.ts";

withBroker("amqp", (url) => {
  const { host } = new URL(url);
  for (const scheme of ["amqp", "amqp-stream"]) {
    const own = url.replace("amqp", scheme);
    Deno.test(`${scheme}: it needs the network of its server, and nothing else`, async () => {
      const channel = uniqueChannel();
      assertEquals(await runWith([`--allow-net=${host}`], own, channel), "hello");
      assertStringIncludes(await runWith([], own, channel), "--allow-net");
      if (scheme === "amqp-stream") await removeStreams(url, [channel]);
    });
  }
});
