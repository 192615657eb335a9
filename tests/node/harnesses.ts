import { MemoryBackend } from "../../backends/memory.ts";
import type { Harness } from "../conformance.ts";
import { WEIRD } from "../conformance/names.ts";
import { NAMES } from "../kafka/names.ts";

/** What `suite.mjs` makes a harness of. Without a limit there is none. */
export type HarnessData = Pick<Harness, "name" | "features" | "names"> & {
  url: string;
  limit?: number;
};

/** A backend, and the broker whose URL it is reached by, under a scheme of its own. */
type BrokerData = Omit<HarnessData, "url"> & {
  readonly broker?: string;
  readonly parameters?: string;
};

const BROKERS: BrokerData[] = [
  { name: "redis", features: { crossProcess: true, binary: true, patterns: true } },
  {
    name: "redis-stream",
    broker: "redis",
    features: { crossProcess: true, binary: true, log: true, headers: true, keys: true },
  },
  {
    name: "postgres",
    features: { crossProcess: true, binary: false },
    limit: 7_999,
    names: WEIRD,
  },
  {
    name: "postgres-stream",
    broker: "postgres",
    features: {
      crossProcess: true,
      binary: true,
      log: true,
      patterns: true,
      headers: true,
      keys: true,
    },
  },
  {
    name: "kafka",
    features: {
      crossProcess: true,
      binary: true,
      log: true,
      patterns: true,
      headers: true,
      keys: true,
    },
    limit: 1_000_000,
    names: NAMES,
  },
  {
    name: "amqp",
    features: {
      crossProcess: true,
      binary: true,
      orderPerPublisher: true,
      patterns: true,
      headers: true,
    },
    limit: 16 * 1024 * 1024,
  },
  {
    name: "amqp-stream",
    broker: "amqp",
    features: { crossProcess: true, binary: true, log: true, tellsNoPlace: true, headers: true },
    limit: 16 * 1024 * 1024,
  },
  {
    name: "mqtt",
    features: {
      crossProcess: true,
      binary: true,
      orderPerPublisher: true,
      patterns: true,
      headers: true,
    },
  },
  {
    name: "nats",
    features: {
      crossProcess: true,
      binary: true,
      orderPerPublisher: true,
      patterns: true,
      headers: true,
    },
    limit: 1_048_576,
  },
  {
    name: "nats-stream",
    broker: "nats",
    parameters: "?stream=broadcaster-test&storage=memory&retention=10m",
    features: {
      crossProcess: true,
      binary: true,
      log: true,
      patterns: true,
      patternLog: true,
      headers: true,
      keys: true,
    },
    limit: 1_048_576,
  },
];

/** Memory, and the brokers that `tests/run.ts` has located. */
export function harnesses(): HarnessData[] {
  const located = BROKERS.flatMap(({ broker, parameters = "", ...data }) => {
    const url = Deno.env.get(`${(broker ?? data.name).toUpperCase()}_URL`);
    return url ? [{ ...data, url: url.replace(/^[^:]*/, data.name) + parameters }] : [];
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
