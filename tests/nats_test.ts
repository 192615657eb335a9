import { withBroker } from "./broker.ts";
import { conformance } from "./conformance.ts";
import { FEATURES } from "./features.ts";
import { faults, Rig } from "./faults.ts";
import { access } from "./nats/access.ts";
import { client } from "./nats/client.ts";
import { wire } from "./nats/wire.ts";
import { Proxy } from "./proxy.ts";
import { start } from "./services/nats.ts";

withBroker("nats", (url) => {
  conformance(Deno.test, {
    name: "nats",
    features: FEATURES["nats"],
    limit: 1_048_576,
    target: () => url,
  });

  faults("nats", async () => {
    const server = await start({ jetstream: false });
    return new Rig(server, await Proxy.start(server.port));
  });

  wire(url);
  access("nats");
  client("nats");
});
