/** A cluster: what it has in common with a server, and what becomes of a slot and of a node. */

import { withBroker } from "./broker.ts";
import { conformance } from "./conformance.ts";
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
    features: { crossProcess: true, binary: true, log: true },
    limit: 512 * 1024 * 1024,
    target: () => url.replace(/^redis:/, "redis-stream:"),
    clean: (channels) => Promise.all(hosts.map((host) => remove(`redis://${host}`, channels))),
  });

  channels();
  streams();
});

lanes();
