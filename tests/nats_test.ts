import { withBroker } from "./broker.ts";
import { conformance } from "./conformance.ts";
import { faults, Rig } from "./faults.ts";
import { Proxy } from "./proxy.ts";
import { start } from "./services/nats.ts";

withBroker("nats", (url) => {
  conformance(Deno.test, {
    name: "nats",
    features: { crossProcess: true, binary: true, patterns: true },
    limit: 1_048_576,
    target: () => url,
  });

  faults("nats", async () => {
    const server = await start({ jetstream: false });
    return new Rig(server, await Proxy.start(server.port));
  });
});
