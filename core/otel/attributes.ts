/**
 * Attributes of spans and metrics, as the OpenTelemetry semantic conventions for messaging name them.
 *
 * @module
 */

import type { Attributes } from "@opentelemetry/api";
import type { Backend } from "../backend/contract.ts";

/**
 * Names of brokers from the conventions or from common usage. Other brokers have the name of their
 * backend.
 */
const SYSTEMS: Readonly<Record<string, string>> = {
  "redis-stream": "redis",
  postgres: "postgresql",
  "postgres-stream": "postgresql",
  amqp: "rabbitmq",
  "amqp-stream": "rabbitmq",
  "nats-stream": "nats",
};

/** The only server of an address, with its port. */
const SERVER = /^[^:]+:\/\/(\[[^\]]+\]|[^\s:,/]+):(\d+)(?![^/?]*,)/;

/**
 * Attributes of the broker, and of its server if there is only one. Empty before the backend is
 * open.
 */
export function brokerOf(backend: Backend | undefined): Attributes {
  if (!backend) return {};
  const { name, address } = backend;
  const [, host, port] = SERVER.exec(address) ?? [];
  return {
    "messaging.system": SYSTEMS[name] ?? name,
    ...host && { "server.address": host.replace(/^\[|\]$/g, ""), "server.port": Number(port) },
  };
}

/** Attributes of an operation: its name and its type. */
export function operation(name: "publish" | "process"): Attributes {
  return {
    "messaging.operation.name": name,
    "messaging.operation.type": name === "publish" ? "send" : "process",
  };
}

/** The class of an error. */
export function errorTypeOf(error: unknown): string {
  const { name } = Object(error) as Partial<Error>;
  return typeof name === "string" && name !== "" ? name : "_OTHER";
}
