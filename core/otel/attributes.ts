/**
 * Attributes of spans and metrics, as the OpenTelemetry semantic conventions for messaging name them.
 *
 * @module
 */

import type { Attributes } from "@opentelemetry/api";
import type { Backend } from "../backend/contract.ts";

/** Brokers as the conventions, or common usage, name them. Others have the name of their backend. */
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

/** The broker, and where it is, if it is one server. Nothing before the backend is open. */
export function brokerOf(backend: Backend | undefined): Attributes {
  if (!backend) return {};
  const { name, address } = backend;
  const [, host, port] = SERVER.exec(address) ?? [];
  return {
    "messaging.system": SYSTEMS[name] ?? name,
    ...host && { "server.address": host.replace(/^\[|\]$/g, ""), "server.port": Number(port) },
  };
}

/** An operation: its name, and what kind of operation that is. */
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
