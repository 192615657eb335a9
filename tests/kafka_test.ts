import { Broadcast } from "../mod.ts";
import { withBroker } from "./broker.ts";
import { conformance } from "./conformance.ts";
import { faults } from "./faults.ts";
import { Proxy } from "./proxy.ts";
import { start } from "./services/kafka.ts";
import { freePort } from "./services/service.ts";

withBroker("kafka", (url) => {
  conformance(Deno.test, {
    name: "kafka",
    features: { crossProcess: true, binary: true },
    limit: 1_000_000,
    target: () => url,
  });
  void [Broadcast, faults, Proxy, start, freePort];
});
