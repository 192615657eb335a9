/**
 * Connects to an MQTT server, or uses the user's client.
 *
 * @module
 */

import { isIP } from "node:net";
import type { IClientOptions, IConnackPacket } from "mqtt";
import type { Address, Host } from "../../core/backend/address.ts";
import { ConnectionError, RefusedError } from "../../core/backend/errors.ts";
import { importClient } from "../../core/backend/kit/client_library.ts";
import { silentError, withLoginHelp } from "../../core/backend/kit/connecting_help.ts";
import { checkClient } from "../../core/backend/kit/given_client.ts";
import type { SourceOptions } from "../../core/backend/kit/source.ts";
import { pemParameters, readPem } from "../../core/backend/kit/tls_files.ts";
import { tlsHint, type TlsHints } from "../../core/backend/kit/tls_hints.ts";
import type { Names } from "../../core/util/known_options.ts";
import { quote } from "../../core/util/quote.ts";
import { disconnected, explain } from "./errors.ts";
import { end, Link } from "./link.ts";

/** The version of the protocol. */
const VERSION = 5;

/** The limit for connecting, in milliseconds. */
const LIMIT = 10_000;
/** The keep-alive interval, in seconds. */
const KEEPALIVE = 10;

/** The schemes and ports, for TLS errors. */
const TLS: TlsHints = {
  secure: "mqtts:// (port 8883)",
  plain: "mqtt:// (port 1883)",
  closed: /closed the connection|ECONNRESET|[Hh]eader flag bits/,
};

/** The core reconnects and subscribes again. The client never does, and queues nothing. */
const OPTIONS = {
  protocolVersion: VERSION,
  clean: true,
  reconnectPeriod: 0,
  resubscribe: false,
  queueQoSZero: false,
} satisfies IClientOptions;

/** A client of the package `mqtt`, as `connectAsync()` returns it. */
export type MqttClient = InstanceType<(typeof import("mqtt"))["MqttClient"]>;

/** Options for MQTT: the parameters of `mqtt://`, and a client. */
export interface MqttOptions extends SourceOptions {
  /**
   * A client of the package `mqtt` to use, connected with `protocolVersion: 5`. The backend never
   * closes the client. The client may reconnect by itself. The server of `url` is then only shown
   * in messages.
   *
   * @default {undefined} A client of the backend's own.
   */
  readonly client?: MqttClient | undefined;
  /**
   * The path of a PEM file with the certificate authorities to trust. Implies TLS.
   *
   * @default {undefined} Those of the runtime.
   */
  readonly ca?: string | undefined;
  /**
   * The path of a PEM file with the certificate of this client. Implies TLS.
   *
   * @default {undefined} None.
   */
  readonly cert?: string | undefined;
  /**
   * The path of a PEM file with the key of `cert`. Implies TLS.
   *
   * @default {undefined} None.
   */
  readonly key?: string | undefined;
  /**
   * The client identifier: the name of the connection at the server. A server closes a connection
   * once another one has the same name.
   *
   * @default {undefined} A random one for each connection.
   */
  readonly clientId?: string | undefined;
  /**
   * The keep-alive interval, in seconds. 0 disables it.
   *
   * @default {10}
   */
  readonly keepalive?: number | undefined;
}

/** The names of `MqttOptions`. */
export const MQTT_OPTIONS: Names<MqttOptions> = {
  url: true,
  client: true,
  ca: true,
  cert: true,
  key: true,
  clientId: true,
  keepalive: true,
};

/** The server of a backend, and a function that connects to it. */
export interface Dial {
  /** The server, as it appears in messages. */
  readonly address: string;
  /** Connects. */
  readonly connect: () => Promise<Link>;
}

/** Connects to the server of a URL, with a new client each time. */
export async function dialOf(address: Address): Promise<Dial> {
  const { hostname: host = "localhost", port } = hostOf(address);
  const isSecure = address.scheme === "mqtts" || pemParameters(address).length > 0;
  const standard = isSecure ? 8883 : 1883;
  const { username, password } = address;
  const clientId = address.parameters.get("clientId");
  const keepalive = address.count("keepalive", 0) ?? KEEPALIVE;
  const connectTimeout = address.count("connectTimeout") ?? LIMIT;
  const isVerified = address.choice("rejectUnauthorized", ["true", "false"]) !== "false";
  checkMeant(address);
  const { default: mqtt } = await importClient<{ default: typeof import("mqtt").default }>(
    "mqtt",
    "mqtt({ client })",
  );
  const server = address.servers(standard)[0]!;
  return {
    address: `${address.scheme}://${server}`,
    connect: async () =>
      await open(
        mqtt.connect({
          ...OPTIONS,
          ...{ keepalive, connectTimeout },
          protocol: isSecure ? "mqtts" : "mqtt",
          host,
          port: port ?? standard,
          ...clientId !== null && { clientId },
          ...username !== undefined && { username },
          ...password !== undefined && { password },
          // An IP address cannot be a server name in TLS.
          ...isSecure && {
            rejectUnauthorized: isVerified,
            ...isIP(host) ? {} : { servername: host },
            ...await readPem(address),
          },
        }),
        { isSecure, clientId: clientId ?? undefined, server, limit: connectTimeout },
      ),
  };
}

/** Uses the user's client. */
export function dialOver(client: MqttClient, address: Address): Dial {
  return { address: String(address), connect: () => borrow(client) };
}

/**
 * Checks a client that the user passes.
 *
 * @throws {TypeError} If it is not a client of the package `mqtt` that uses MQTT 5, or if the
 * address has parameters that have no effect on it.
 */
export function checkMqttClient(given: unknown, address: Address): void {
  checkClient(given, {
    wanted: "an MqttClient of mqtt, await connectAsync(url, { protocolVersion: 5 })",
    methods: ["publish", "subscribe", "unsubscribe", "sendPing", "on", "once", "off"],
    mistaken: [
      { name: "a promise, await it first", has: ["then"] },
      { name: "the module mqtt, call its connectAsync()", has: ["connectAsync", "MqttClient"] },
      { name: "a client of async-mqtt, give that of mqtt", has: ["_client", "publish"] },
      { name: "a client of Paho", has: ["onMessageArrived"] },
      { name: "a server of aedes, give a client", has: ["authenticate", "handle"] },
    ],
  });
  if ((given as MqttClient).options?.protocolVersion !== VERSION) {
    throw new TypeError(
      "Cannot use client: it uses MQTT 3, which cannot tell overlapping subscriptions apart, connect it with protocolVersion: 5",
    );
  }
  const own = [...pemParameters(address), "clientId", "keepalive"];
  const name = own.find((name) => address.parameters.has(name));
  if (name !== undefined) {
    throw new TypeError(
      `Cannot use parameter ${quote(name)}: a client is given, which has its own`,
    );
  }
}

function hostOf(address: Address): Partial<Host> {
  if (address.hosts.length > 1) {
    throw new TypeError(
      `Cannot open "${address}": it names several hosts, ${address.scheme}:// takes one`,
    );
  }
  if (address.path) {
    throw new TypeError(`Cannot open "${address}": MQTT has nothing to name by a path`);
  }
  return address.hosts[0] ?? {};
}

/** Parameters of other clients, and the only values that are supported here. */
const MEANT: Readonly<Record<string, readonly [values: readonly string[], expected: string]>> = {
  clean: [["true", "1"], "true: no server keeps a session for what this client missed"],
  cleanSession: [["true", "1"], "true: no server keeps a session for what this client missed"],
  protocolVersion: [["5"], "5: MQTT 3 cannot tell overlapping subscriptions apart"],
};

/** Checks parameters of other clients that have only one supported value. */
function checkMeant(address: Address): void {
  for (const [name, [values, expected]] of Object.entries(MEANT)) {
    const value = address.parameters.get(name);
    if (value !== null && !values.includes(value)) throw address.invalid(name, value, expected);
  }
}

/** A connection that is being opened. */
interface Opening {
  readonly isSecure: boolean;
  readonly clientId: string | undefined;
  /** The server, as `host:port`. */
  readonly server: string;
  /** The time limit for the answer, in milliseconds. */
  readonly limit: number;
}

/** The codes for a login that is missing or wrong, of MQTT 5 and of MQTT 3.1.1. */
const LOGIN: readonly number[] = [0x86, 0x87, 4, 5];

/** Waits until a new client is connected. Otherwise ends it, and rejects with the reason. */
async function open(
  client: MqttClient,
  { clientId, ...server }: Opening,
): Promise<Link> {
  let reason: Error | undefined;
  client.on("error", (error) => reason ??= error as Error);
  client.once("disconnect", ({ reasonCode, properties }) => {
    reason ??= disconnected(reasonCode, properties);
  });
  try {
    const connack = await new Promise<IConnackPacket>((resolve, reject) => {
      client.once("connect", resolve);
      client.once(
        "close",
        () =>
          reject(reason ?? new Error("it closed the connection, perhaps it is no MQTT 5 server")),
      );
    });
    checkServer(connack.properties);
    return new Link(client, connack.properties, { clientId });
  } catch (error) {
    await end(client);
    throw dialError(error as Error, server);
  }
}

/** The error of a connection that could not be opened. */
function dialError(error: Error, server: Omit<Opening, "clientId">): Error {
  if (error instanceof RefusedError) return error;
  // The client's message for a silent server.
  if (error.message === "connack timeout") return silentError({ ...server, product: "MQTT" });
  const hint = tlsHint(error, server.isSecure, TLS);
  if (hint !== undefined) return new ConnectionError(`${error.message}; ${hint}`, { cause: error });
  const { code } = error as { code?: unknown };
  if (typeof code !== "number") return error;
  const explained = explain("connack", error);
  return explained instanceof RefusedError && LOGIN.includes(code)
    ? new RefusedError(withLoginHelp(explained.message, "mqtt://user:password@host"), {
      cause: error,
    })
    : explained;
}

/**
 * Checks the properties of a server.
 *
 * @throws {RefusedError} If the server cannot confirm messages.
 */
function checkServer({ maximumQoS }: { maximumQoS?: number } = {}): void {
  if (maximumQoS !== 0) return;
  throw new RefusedError(
    "the server takes messages with QoS 0 only, and confirms none of them: allow QoS 1 (max_qos)",
  );
}

/** Waits until the user's client is connected, since it may be reconnecting. */
async function borrow(client: MqttClient): Promise<Link> {
  if (client.disconnecting) throw new RefusedError("the client that was given is closed");
  if (!client.connected) {
    await new Promise<void>((resolve, reject) => {
      client.once("connect", () => resolve());
      client.once("close", () => reject(new Error("the client that was given cannot connect")));
    });
  }
  // A connected client has these properties, unless it is an older version.
  const { serverProperties } = client as { serverProperties?: IConnackPacket["properties"] };
  checkServer(serverProperties);
  return new Link(client, serverProperties, { borrowed: true });
}
