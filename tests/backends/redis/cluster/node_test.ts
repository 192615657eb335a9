/** A node of a cluster, taken for a single server. */

import { assert, assertRejects } from "@std/assert";
import { Broadcast, RefusedError } from "../../../../mod.ts";
import { uniqueChannel } from "../../../conformance/harness.ts";
import { withBroker } from "../../../services/broker.ts";
import { remove } from "../log/stream.ts";

withBroker("redis_cluster", (url) => {
  const hosts = url.replace("redis://", "").split(",");

  Deno.test("redis-stream: a node of a cluster says what to add to the URL", async () => {
    await using broadcast = new Broadcast(`redis-stream://${hosts[0]}`);
    const names = Array.from({ length: 20 }, uniqueChannel);
    const outcomes = await Promise.allSettled(names.map((name) => broadcast.publish(name, "x")));
    const reasons = outcomes.flatMap((one) => one.status === "rejected" ? [one.reason] : []);
    assert(reasons.length > 0, "one node has the slots of all");
    for (const [index, { status }] of outcomes.entries()) {
      const name = names[index]!;
      const reason = "the server is a node of a cluster, add cluster=true to the URL";
      if (status === "fulfilled") continue;
      await assertRejects(() => broadcast.subscribe(name), RefusedError, reason);
      await assertRejects(() => broadcast.history(name), RefusedError, reason);
      await assertRejects(() => broadcast.publish(name, "x"), RefusedError, reason);
    }
    await Promise.all(hosts.map((host) => remove(`redis://${host}`, names)));
  });
});
