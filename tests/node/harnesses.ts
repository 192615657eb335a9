import { MemoryBackend } from "../../backends/memory.ts";
import type { Harness } from "../conformance.ts";
import { WEIRD } from "../conformance/names.ts";
import { FEATURES } from "../features.ts";
import { NAMES } from "../kafka/names.ts";

/** What `suite.mjs` makes a harness of. Without a limit there is none. */
export type HarnessData = Pick<Harness, "name" | "features" | "names"> & {
  url: string;
  limit?: number;
};

/** A backend, and the broker whose URL it is reached by, under a scheme of its own. */
interface BrokerData extends Omit<HarnessData, "url" | "name" | "features"> {
  readonly name: keyof typeof FEATURES;
  readonly broker?: string;
  readonly parameters?: string;
}

const BROKERS: BrokerData[] = [
  { name: "redis" },
  { name: "redis-stream", broker: "redis" },
  { name: "postgres", limit: 7_999, names: WEIRD },
  { name: "postgres-stream", broker: "postgres" },
  { name: "kafka", limit: 1_000_000, names: NAMES },
  { name: "amqp", limit: 16 * 1024 * 1024 },
  { name: "amqp-stream", broker: "amqp", limit: 16 * 1024 * 1024 },
  { name: "mqtt" },
  { name: "nats", limit: 1_048_576 },
  {
    name: "nats-stream",
    broker: "nats",
    parameters: "?stream=broadcaster-test&storage=memory&retention=10m",
    limit: 1_048_576,
  },
];

/** Memory, and the brokers that `tests/run.ts` has located. */
export function harnesses(): HarnessData[] {
  const located = BROKERS.flatMap(({ broker, parameters = "", ...data }) => {
    const url = Deno.env.get(`${(broker ?? data.name).toUpperCase()}_URL`);
    if (!url) return [];
    const reached = url.replace(/^[^:]*/, data.name) + parameters;
    return [{ ...data, features: FEATURES[data.name], url: reached }];
  });
  return [
    {
      name: "memory",
      url: "memory://",
      features: new MemoryBackend().features,
    },
    {
      name: "broadcast-channel",
      url: "broadcast-channel://",
      features: { crossProcess: true, binary: true, orderPerPublisher: true },
    },
    ...located,
  ];
}
