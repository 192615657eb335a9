import type { BackendFeatures } from "../backend.ts";

const LIVE: BackendFeatures = {
  crossProcess: true,
  binary: true,
  orderPerPublisher: true,
  patterns: true,
  headers: true,
};

const LOG: BackendFeatures = {
  crossProcess: true,
  binary: true,
  log: true,
  headers: true,
  keys: true,
};

/** What the suite expects of each backend that has a broker. */
export const FEATURES = {
  "redis": { crossProcess: true, binary: true, patterns: true },
  "redis-stream": LOG,
  "postgres": { crossProcess: true, binary: false },
  "postgres-stream": { ...LOG, patterns: true },
  "kafka": { ...LOG, patterns: true },
  "amqp": LIVE,
  "amqp-stream": { ...LOG, tellsNoPlace: true, keys: false },
  "mqtt": LIVE,
  "nats": LIVE,
  "nats-stream": { ...LOG, patterns: true, patternLog: true },
} satisfies Record<string, BackendFeatures>;
