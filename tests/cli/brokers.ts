/** The brokers that the command is tried on: each scheme, and the broker of the tests that serves it. */

/** A scheme. */
export interface Scheme {
  readonly name: string;
  /** The broker, by the name that the tests give it. */
  readonly broker: string;
  readonly hasLog: boolean;
  readonly hasPatterns: boolean;
}

export const SCHEMES: readonly Scheme[] = [
  { name: "redis", broker: "redis", hasLog: false, hasPatterns: true },
  { name: "redis-stream", broker: "redis", hasLog: true, hasPatterns: false },
  { name: "postgres", broker: "postgres", hasLog: false, hasPatterns: false },
  { name: "postgres-stream", broker: "postgres", hasLog: true, hasPatterns: true },
  { name: "kafka", broker: "kafka", hasLog: true, hasPatterns: true },
  { name: "amqp", broker: "amqp", hasLog: false, hasPatterns: true },
  { name: "amqp-stream", broker: "amqp", hasLog: true, hasPatterns: false },
  { name: "mqtt", broker: "mqtt", hasLog: false, hasPatterns: true },
  { name: "nats", broker: "nats", hasLog: false, hasPatterns: true },
  { name: "nats-stream", broker: "nats", hasLog: true, hasPatterns: true },
];

/** The URL of a broker with another scheme. */
export function withScheme(url: string, name: string): string {
  return url.replace(/^[^:]+/, name);
}
