/** A cluster: what it has in common with a server, and what becomes of a slot and of a node. */

import { assert, assertRejects } from "@std/assert";
import { Broadcast, RefusedError } from "../mod.ts";
import { withBroker } from "./broker.ts";
import { conformance } from "./conformance.ts";
import { FEATURES } from "./features.ts";
import { uniqueChannel } from "./conformance/harness.ts";
import { channels } from "./redis_cluster/channels.ts";
import { lanes } from "./redis_cluster/lanes.ts";
import { streams } from "./redis_cluster/streams.ts";
import { remove } from "./redis_stream/stream.ts";

withBroker("redis_cluster", (url) => {
  const hosts = url.replace("redis://", "").split(",");

  conformance(Deno.test, {
    name: "redis-cluster",
    features: { crossProcess: true, binary: true },
    limit: 512 * 1024 * 1024,
    target: () => url,
  });

  conformance(Deno.test, {
    name: "redis-stream in a cluster",
    features: FEATURES["redis-stream"],
    limit: 512 * 1024 * 1024,
    target: () => url.replace(/^redis:/, "redis-stream:"),
    clean: (channels) => Promise.all(hosts.map((host) => remove(`redis://${host}`, channels))),
  });

  Deno.test("redis-stream: a node of a cluster says what to write in the URL", async () => {
    await using broadcast = new Broadcast(`redis-stream://${hosts[0]}`);
    const names = Array.from({ length: 20 }, uniqueChannel);
    const outcomes = await Promise.allSettled(names.map((name) => broadcast.publish(name, "x")));
    const reasons = outcomes.flatMap((one) => one.status === "rejected" ? [one.reason] : []);
    assert(reasons.length > 0, "one node has the slots of all");
    for (const [index, { status }] of outcomes.entries()) {
      const name = names[index]!;
      const reason = "the server is a node of a cluster, say cluster=true in the URL";
      if (status === "fulfilled") continue;
      await assertRejects(() => broadcast.subscribe(name), RefusedError, reason);
      await assertRejects(() => broadcast.history(name), RefusedError, reason);
      await assertRejects(() => broadcast.publish(name, "x"), RefusedError, reason);
    }
    await Promise.all(hosts.map((host) => remove(`redis://${host}`, names)));
  });

  channels();
  streams();
});

lanes();
