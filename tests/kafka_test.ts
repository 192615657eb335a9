import { withBroker } from "./broker.ts";
import { conformance } from "./conformance.ts";
import { faults, Rig } from "./faults.ts";
import { access } from "./kafka/access.ts";
import { reading } from "./kafka/reading.ts";
import { records } from "./kafka/records.ts";
import { topics } from "./kafka/topics.ts";
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

  faults("kafka", async () => {
    const port = freePort();
    const proxy = await Proxy.start(port);
    const server = await start({ port, advertisedPort: proxy.port });
    return new Rig(server, proxy);
  }, { shared: true });

  topics(url);
  records(url);
  reading(url);
  access(url);
});

withBroker("kafka4", (url) => {
  conformance(Deno.test, {
    name: "kafka4",
    features: { crossProcess: true, binary: true },
    limit: 1_000_000,
    target: () => url,
  });
});
