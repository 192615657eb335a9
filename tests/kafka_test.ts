import { withBroker } from "./broker.ts";
import { conformance } from "./conformance.ts";
import { FEATURES } from "./features.ts";
import { faults } from "./faults.ts";
import { access } from "./kafka/access.ts";
import { failover } from "./kafka/failover.ts";
import { headers, headersApart } from "./kafka/headers.ts";
import { coordinators, keyFaults, killed } from "./kafka/key_faults.ts";
import { keys } from "./kafka/keys.ts";
import { NAMES } from "./kafka/names.ts";
import { pages } from "./kafka/pages.ts";
import { patterns } from "./kafka/patterns.ts";
import { positions } from "./kafka/positions.ts";
import { reading } from "./kafka/reading.ts";
import { records } from "./kafka/records.ts";
import { resuming } from "./kafka/resuming.ts";
import { KafkaRig } from "./kafka/rig.ts";
import { tls } from "./kafka/tls.ts";
import { topics } from "./kafka/topics.ts";

withBroker("kafka", (url) => {
  conformance(Deno.test, {
    name: "kafka",
    features: FEATURES["kafka"],
    limit: 1_000_000,
    names: NAMES,
    target: () => url,
  });

  faults("kafka", () => KafkaRig.start(), { shared: true, log: true });

  headers(url, "kafka");
  topics(url);
  records(url);
  reading(url);
  resuming(url, "kafka");
  positions(url, "kafka");
  pages(url, "kafka");
  patterns(url, "kafka");
  keys(url, "kafka");
  killed(url, "kafka");
  keyFaults("3.9.1");
  coordinators();
  access(url);
  tls();
  failover();
});

withBroker("kafka4", (url) => {
  conformance(Deno.test, {
    name: "kafka4",
    features: FEATURES["kafka"],
    limit: 1_000_000,
    names: NAMES,
    target: () => url,
  });

  headers(url, "kafka4");
  resuming(url, "kafka4");
  positions(url, "kafka4");
  pages(url, "kafka4");
  patterns(url, "kafka4");
  keys(url, "kafka4");
  killed(url, "kafka4");
  keyFaults("4.1.1");
});

headersApart();
