/** The backends of this project as the conformance suite sees them. */

import { queueOf } from "../../backends/amqp/log/queue_name.ts";
import { MemoryBackend } from "../../backends/memory/log.ts";
import { type Harness, type TestedFeatures, uniqueChannel } from "../conformance/harness.ts";
import { conformance } from "../conformance/mod.ts";
import { WEIRD } from "../conformance/names.ts";
import { withBroker } from "../services/broker.ts";
import { removeStream } from "../services/nats.ts";
import { removeStreams } from "./amqp/log/remove.ts";
import { NAMES } from "./kafka/names.ts";
import { remove as removeKeys } from "./redis/log/stream.ts";

/** A backend, whose cases are reached by the URL of its broker. */
interface BackendUnderTest {
  /** The broker, by the name that `tests/run.ts` gives it; without one there is none. */
  readonly broker?: string;
  readonly features: TestedFeatures;
  /** The longest payload, in bytes. Without a limit there is none. */
  readonly limit?: number;
  /** What may follow in a channel's name, if not everything. */
  readonly names?: readonly string[];
  /** Its scheme, if that is not its name. */
  readonly scheme?: string;
  readonly parameters?: (run: string) => string;
  /** Removes what the broker keeps of channels for ever. */
  readonly clean?: (server: string, channels: readonly string[]) => Promise<unknown>;
  /** Removes what the broker keeps of a whole run. */
  readonly cleanAll?: (server: string, run: string) => Promise<unknown>;
}

const LIVE: TestedFeatures = {
  crossProcess: true,
  binary: true,
  orderPerPublisher: true,
  patterns: true,
  headers: true,
};

const LOG: TestedFeatures = {
  crossProcess: true,
  binary: true,
  log: true,
  headers: true,
  keys: true,
};

const KAFKA = {
  scheme: "kafka",
  features: { ...LOG, patterns: true, keys: false },
  limit: 1_000_000,
  names: NAMES,
};

const BACKENDS = {
  "memory": { features: { ...new MemoryBackend().features, log: true } },
  "memory without a log": {
    scheme: "memory",
    features: new MemoryBackend(0).features,
    parameters: () => "?history=0",
  },
  "memory with a name": {
    scheme: "memory",
    // Two broadcasts reach each other, as over a broker.
    features: { ...new MemoryBackend().features, log: true, crossProcess: true },
    parameters: (run) => run,
  },
  "broadcast-channel": {
    features: { crossProcess: true, binary: true, orderPerPublisher: true },
  },
  "redis": {
    broker: "redis",
    features: { crossProcess: true, binary: true, patterns: true },
  },
  "redis-stream": {
    broker: "redis",
    features: LOG,
    clean: removeKeys,
  },
  "redis in a cluster": {
    broker: "redis_cluster",
    scheme: "redis",
    features: { crossProcess: true, binary: true },
  },
  "redis-stream in a cluster": {
    broker: "redis_cluster",
    scheme: "redis-stream",
    features: LOG,
    clean: (server, channels) => {
      const hosts = server.replace("redis://", "").split(",");
      return Promise.all(hosts.map((host) => removeKeys(`redis://${host}`, channels)));
    },
  },
  "postgres": {
    broker: "postgres",
    features: { crossProcess: true, binary: false },
    limit: 7_999,
    // Of 63 bytes at most.
    names: WEIRD,
  },
  "postgres-stream": {
    broker: "postgres",
    features: { ...LOG, patterns: true },
  },
  "postgres-stream with a pool": {
    broker: "postgres",
    scheme: "postgres-stream",
    features: { ...LOG, patterns: true },
    parameters: () => "?pool=3",
  },
  "kafka": { broker: "kafka", ...KAFKA },
  "kafka4": { broker: "kafka4", ...KAFKA },
  "amqp": {
    broker: "amqp",
    features: LIVE,
    limit: 16 * 1024 * 1024,
  },
  "amqp-stream": {
    broker: "amqp",
    features: { ...LOG, tellsNoPlace: true, keys: false },
    limit: 16 * 1024 * 1024,
    // Each stream of RabbitMQ holds files open at the server, and none goes by itself.
    clean: (server, channels) =>
      removeStreams(server, channels.map((channel) => queueOf(channel, "/"))),
  },
  "mqtt": {
    broker: "mqtt",
    features: LIVE,
  },
  "nats": {
    broker: "nats",
    features: LIVE,
    limit: 1_048_576,
  },
  "nats-stream": {
    broker: "nats",
    features: { ...LOG, patterns: true, patternLog: true },
    limit: 1_048_576,
    parameters: (run) => `?stream=${run}&storage=memory&retention=10m`,
    cleanAll: removeStream,
  },
} satisfies Record<string, BackendUnderTest>;

/** The name of a backend, as it stands before each of its cases. */
export type BackendName = keyof typeof BACKENDS;

/** Those that the suite of the npm package runs on: one line of Kafka, and no cluster, is enough. */
const EVERYWHERE: readonly BackendName[] = [
  "memory",
  "broadcast-channel",
  "redis",
  "redis-stream",
  "postgres",
  "postgres-stream",
  "kafka",
  "amqp",
  "amqp-stream",
  "mqtt",
  "nats",
  "nats-stream",
];

/** A harness that can be given to another process, as JSON; without a limit there is none. */
export interface HarnessData extends Pick<Harness, "name" | "features" | "names"> {
  readonly url: string;
  readonly limit?: number | undefined;
}

/** The harnesses of all backends whose brokers `tests/run.ts` has located. */
export class LocatedHarnesses implements AsyncDisposable {
  /** As another process is given them. */
  readonly data: readonly HarnessData[];
  readonly #run = uniqueChannel();
  readonly #servers: readonly (readonly [backend: BackendUnderTest, server: string])[];

  /** @param names Those that are wanted, if not all. */
  constructor(names: readonly BackendName[] = EVERYWHERE) {
    const located = names.flatMap((name) => {
      const backend: BackendUnderTest = BACKENDS[name];
      const server = backend.broker === undefined ? "" : serverOf(backend.broker);
      return server === undefined ? [] : [[name, backend, server] as const];
    });
    this.#servers = located.map(([, backend, server]) => [backend, server]);
    this.data = located.map(([name, backend, server]) => dataOf(name, backend, server, this.#run));
  }

  /** As this process uses them. */
  get harnesses(): Harness[] {
    return this.data.map((data, index) => harnessOf(data, ...this.#servers[index]!));
  }

  /** Removes what the brokers keep of this run. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const [{ cleanAll }, server] of this.#servers) await cleanAll?.(server, this.#run);
  }
}

/** Registers the conformance suite of one backend: with its broker, or as one skipped case. */
export function suite(name: BackendName): void {
  const backend: BackendUnderTest = BACKENDS[name];
  const run = uniqueChannel();
  const register = (server: string) => {
    conformance(Deno.test, harnessOf(dataOf(name, backend, server, run), backend, server));
    const { cleanAll } = backend;
    if (cleanAll) Deno.test.afterAll(async () => void await cleanAll(server, run));
  };
  if (backend.broker === undefined) register("");
  else withBroker(backend.broker, register);
}

function serverOf(broker: string): string | undefined {
  return Deno.env.get(`${broker.toUpperCase()}_URL`);
}

function dataOf(
  name: BackendName,
  { scheme = name, features, limit, names, parameters }: BackendUnderTest,
  server: string,
  run: string,
): HarnessData {
  const url = (server === "" ? `${scheme}://` : server.replace(/^[^:]*/, scheme)) +
    (parameters?.(run) ?? "");
  return { name, features, url, ...limit !== undefined && { limit }, ...names && { names } };
}

function harnessOf(
  { url, limit = Infinity, ...data }: HarnessData,
  { clean }: BackendUnderTest,
  server: string,
): Harness {
  return {
    ...data,
    limit,
    target: () => url,
    clean: clean && ((channels) => clean(server, channels)),
  };
}
