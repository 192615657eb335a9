import { Broadcast } from "../mod.ts";
import { withBroker } from "./broker.ts";
import { conformance } from "./conformance.ts";

withBroker("redis", (url) => {
  conformance(Deno.test, {
    name: "redis",
    features: { crossProcess: true, binary: true },
    limit: 512 * 1024 * 1024,
    open: (options) => new Broadcast(url, options as never) as never,
  });
});
