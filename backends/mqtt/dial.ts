/**
 * Connects to an MQTT server, or uses the client that the user gives.
 *
 * @module
 */

import { isIP } from "node:net";
import type { IClientOptions, IConnackPacket } from "mqtt";
import type { Address, Host } from "../../core/backend/address.ts";
import { RefusedError } from "../../core/backend/errors.ts";
import { importClient } from "../../core/backend/kit/client_library.ts";
import { checkClient } from "../../core/backend/kit/given_client.ts";
import type { SourceOptions } from "../../core/backend/kit/source.ts";
import { pemParameters, readPem } from "../../core/backend/kit/tls_files.ts";
import { isRefusal, refused } from "./errors.ts";
import { end, Link } from "./link.ts";

/** The version of the protocol. */
const VERSION = 5;

/** The core reconnects and subscribes again; the client never does, and holds nothing back. */
const OPTIONS = {
  protocolVersion: VERSION,
  clean: true,
  reconnectPeriod: 0,
  resubscribe: false,
  queueQoSZero: false,
  keepalive: 10,
  connectTimeout: 10_000,
} satisfies IClientOptions;

/** A client of the package `mqtt`: its `connectAsync()` resolves with it. */
export type MqttClient = InstanceType<(typeof import("mqtt"))["MqttClient"]>;

/** Options for MQTT: the parameters of `mqtt://`, and a client. */
export interface MqttOptions extends SourceOptions {
  /**
   * A client of the package `mqtt`, connected with `protocolVersion: 5`, to be used in place of
   * one of the backend's own. It is never closed. It may reconnect by itself. The server of `url`
   * then only appears in messages.
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
}

/** The server of a backend, and how a connection to it is made. */
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
  const { default: mqtt } = await importClient<{ default: typeof import("mqtt").default }>(
    "mqtt",
    "mqtt({ client })",
  );
  return {
    address: `${address.scheme}://${address.servers(standard)[0]}`,
    connect: async () =>
      await open(
        mqtt.connect({
          ...OPTIONS,
          protocol: isSecure ? "mqtts" : "mqtt",
          host,
          port: port ?? standard,
          ...clientId !== null && { clientId },
          ...username !== undefined && { username },
          ...password !== undefined && { password },
          // An IP address is not a server name.
          ...isSecure && { ...isIP(host) ? {} : { servername: host }, ...await readPem(address) },
        }),
      ),
  };
}

/** Uses the client that the user gives. */
export function dialOver(client: MqttClient, address: Address): Dial {
  return { address: String(address), connect: () => borrow(client) };
}

/**
 * Checks a client that the user gives.
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
  const own = [...pemParameters(address), "clientId"];
  const name = own.find((name) => address.parameters.has(name));
  if (name !== undefined) {
    throw new TypeError(`Cannot use parameter "${name}": a client is given, which has its own`);
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

/** Waits until a new client is connected; otherwise ends it, and says why. */
async function open(client: MqttClient): Promise<Link> {
  let reason: Error | undefined;
  client.on("error", (error) => reason ??= error as Error);
  try {
    const connack = await new Promise<IConnackPacket>((resolve, reject) => {
      client.once("connect", resolve);
      client.once(
        "close",
        () =>
          reject(reason ?? new Error("it closed the connection, perhaps it is no MQTT 5 server")),
      );
    });
    return new Link(client, connack, false);
  } catch (error) {
    await end(client);
    throw isRefusal(error) ? refused(error) : error;
  }
}

/** Waits until the user's client is connected, as it may be reconnecting. */
async function borrow(client: MqttClient): Promise<Link> {
  if (client.disconnecting) throw new RefusedError("the client that was given is closed");
  if (!client.connected) {
    await new Promise<void>((resolve, reject) => {
      client.once("connect", () => resolve());
      client.once("close", () => reject(new Error("the client that was given cannot connect")));
    });
  }
  return new Link(client, undefined, true);
}
