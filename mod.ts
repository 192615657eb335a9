/**
 * Realtime broadcast channels over memory, Redis, Postgres, Kafka, RabbitMQ, NATS
 * and MQTT, behind one small API whose subscriptions are `ReadableStream`s. The scheme of a URL
 * names the backend, which is loaded when it is first used.
 *
 * @example
 * ```ts
 * import { Broadcast } from "@broadcaster/broadcaster";
 * import assert from "node:assert/strict";
 *
 * const broadcast = new Broadcast("memory://");
 * const subscription = await broadcast.subscribe("chatroom");
 * await broadcast.publish("chatroom", "hello");
 *
 * for await (const event of subscription) {
 *   assert.equal(event.message, "hello");
 *   break;
 * }
 * await broadcast.disconnect();
 * ```
 *
 * @module
 */

import { BroadcastCore } from "./core/api/broadcast.ts";
import type { BroadcastConstructor, BroadcastInstance } from "./core/api/interface.ts";
import type { BroadcastOptions } from "./core/api/options.ts";
import { CORE_PARAMETERS, readSettings } from "./core/api/settings.ts";
import { Address } from "./core/backend/address.ts";
import type { Backend, BackendModule } from "./core/backend/contract.ts";
import { type Codec, json, text } from "./core/codec/codec.ts";
import { type ChannelSchemas, checked } from "./core/codec/schema.ts";
import { kindOf } from "./core/util/kind.ts";

export type { Backend, BackendOptions, Payload } from "./core/backend/contract.ts";
export type {
  BroadcastConstructor,
  BroadcastInstance,
  ChannelName,
  EventOf,
} from "./core/api/interface.ts";
export {
  type AnyCodec,
  bytes,
  type Codec,
  json,
  type MessageOf,
  type SyncCodec,
  text,
} from "./core/codec/codec.ts";
export { compressed, type CompressedOptions } from "./core/codec/compressed.ts";
export { encrypted, type EncryptionKeys } from "./core/codec/encrypted.ts";
export {
  ClosedError,
  ConnectionError,
  GapError,
  OutcomeUnknownError,
  RefusedError,
} from "./core/backend/errors.ts";
export { ValidationError } from "./core/codec/schema.ts";
export type { BroadcastEvent, Gap, GapCause } from "./core/backend/event.ts";
export type { MessageHeaders } from "./core/backend/headers.ts";
export {
  type BroadcastEventMap,
  GapEvent,
  MessageErrorEvent,
  StateChangeEvent,
} from "./core/api/notifications.ts";
export { type BroadcastState } from "./core/backend/state.ts";
export type {
  BroadcastOptions,
  CodecOptions,
  HistoryOptions,
  PublishOptions,
  SchemaOptions,
  SubscribeOptions,
  WritableOptions,
} from "./core/api/options.ts";
export type {
  ChannelSchemas,
  ChannelsOf,
  Schema,
  SchemaInputs,
  SchemaIssue,
  SchemaOutputs,
  SchemaResult,
} from "./core/codec/schema.ts";
export type { SettingsOptions } from "./core/api/settings.ts";
export { Subscription, type SubscriptionIterator } from "./core/api/subscription.ts";
export type { ChannelPattern, SubscribeTarget } from "./core/api/target.ts";

/** Paths of PEM files. */
const PEM = ["ca", "cert", "key"];

/** What the URLs of Redis have in common. */
const REDIS = [
  ...["prefix", "cluster", "sentinel", "sentinelUsername", "sentinelPassword"],
  ...PEM,
];

/** What the URLs of RabbitMQ's streams have. */
const STREAM = [...PEM, "retention", "maxBytes", "segmentBytes"];

/** The backends, by scheme. Only a literal import survives being published. */
const BACKENDS: Record<string, Scheme> = {
  memory: scheme(() => import("./backends/memory/log.ts"), "history"),
  "broadcast-channel": scheme(() => import("./backends/broadcast_channel/pubsub.ts")),
  redis: scheme(() => import("./backends/redis/pubsub.ts"), ...REDIS),
  rediss: scheme(() => import("./backends/redis/pubsub.ts"), ...REDIS),
  "redis-stream": scheme(() => import("./backends/redis/log.ts"), ...REDIS, "maxlen"),
  "rediss-stream": scheme(() => import("./backends/redis/log.ts"), ...REDIS, "maxlen"),
  postgres: scheme(() => import("./backends/postgres/pubsub.ts"), "sslmode", ...PEM),
  postgresql: scheme(() => import("./backends/postgres/pubsub.ts"), "sslmode", ...PEM),
  "postgres-stream": scheme(
    () => import("./backends/postgres/log.ts"),
    ...["sslmode", ...PEM, "retention", "pool"],
  ),
  "postgresql-stream": scheme(
    () => import("./backends/postgres/log.ts"),
    ...["sslmode", ...PEM, "retention", "pool"],
  ),
  kafka: scheme(
    () => import("./backends/kafka/log.ts"),
    ...["sasl", "tls", ...PEM, "clientId", "create", "replication"],
  ),
  amqp: scheme(() => import("./backends/amqp/pubsub.ts"), "exchange", ...PEM),
  amqps: scheme(() => import("./backends/amqp/pubsub.ts"), "exchange", ...PEM),
  "amqp-stream": scheme(() => import("./backends/amqp/log.ts"), ...STREAM),
  "amqps-stream": scheme(() => import("./backends/amqp/log.ts"), ...STREAM),
  mqtt: scheme(() => import("./backends/mqtt/pubsub.ts"), ...PEM, "clientId"),
  mqtts: scheme(() => import("./backends/mqtt/pubsub.ts"), ...PEM, "clientId"),
  nats: scheme(() => import("./backends/nats/pubsub.ts"), "tls", ...PEM),
  "nats-stream": scheme(
    () => import("./backends/nats/log.ts"),
    ...["tls", ...PEM, "stream", "retention", "maxlen", "maxBytes", "storage"],
    "replicas",
  ),
};

/** How a scheme is served. */
interface Scheme {
  readonly load: () => Promise<BackendModule>;
  readonly parameters: readonly string[];
}

function scheme(load: () => Promise<BackendModule>, ...parameters: string[]): Scheme {
  return { load, parameters: [...CORE_PARAMETERS, ...parameters] };
}

/**
 * Realtime channels over one broker, which the URL names.
 *
 * @typeParam Channels Channel names to the messages they carry.
 *
 * @example
 * ```ts
 * import { Broadcast, json } from "@broadcaster/broadcaster";
 *
 * interface Channels {
 *   chatroom: { user: string; text: string };
 *   [price: `price:${string}`]: number;
 * }
 *
 * const broadcast = new Broadcast<Channels>("memory://", { codec: json() });
 * await broadcast.publish("price:gold", 2_650);
 * await broadcast.disconnect();
 * ```
 */
export type Broadcast<Channels extends object = Record<string, string>> = BroadcastInstance<
  Channels
>;

/** Makes broadcasts. */
export const Broadcast: BroadcastConstructor = class Broadcast extends BroadcastCore<unknown> {
  constructor(
    target: string | URL | Backend,
    given?:
      | (BroadcastOptions & {
        readonly codec?: Codec<unknown>;
        readonly channels?: ChannelSchemas | undefined;
      })
      | null,
  ) {
    const options = given ?? {};
    const { channels } = options;
    const codec = options.codec ?? (channels ? json() : text()) as Codec<unknown>;
    if (typeof codec.encode !== "function" || typeof codec.decode !== "function") {
      throw new TypeError(
        `Cannot open broadcast: option codec must be a codec, such as json(), it is ${
          kindOf(codec)
        }`,
      );
    }
    const backend = typeof (target as Partial<Backend> | null)?.tail === "function"
      ? target as Backend
      : undefined;
    if (!backend && typeof target !== "string" && !(target instanceof URL)) {
      throw new TypeError("Cannot open broadcast: neither a URL nor a backend was given");
    }
    const address = backend ? undefined : parse(String(target));
    super({
      codec: channels ? checked(codec, channels) : codec,
      settings: readSettings(options, address),
      open: async () => {
        if (backend) return backend;
        const module = await BACKENDS[address!.scheme]!.load();
        return module.open(address!, options);
      },
    });
  }
} as BroadcastConstructor;

/** The parts of a URL whose scheme and parameters are known. */
function parse(url: string): Address {
  const address = new Address(url);
  const known = Object.hasOwn(BACKENDS, address.scheme) ? BACKENDS[address.scheme] : undefined;
  if (!known) {
    throw new TypeError(
      `Cannot open "${address}": unknown scheme "${address.scheme}", known schemes are ${
        Object.keys(BACKENDS).join(", ")
      }`,
    );
  }
  for (const name of address.parameters.keys()) {
    if (known.parameters.includes(name)) continue;
    throw new TypeError(
      `Cannot open "${address}": unknown parameter "${name}", known parameters are ${
        known.parameters.join(", ")
      }`,
    );
  }
  return address;
}
