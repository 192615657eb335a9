/**
 * Connects to an MQTT server.
 *
 * @module
 */

import { isIP } from "node:net";
import type { IClientOptions, IConnackPacket, MqttClient } from "mqtt";
import type { Address, Host } from "../../core/backend/address.ts";
import type { BackendOptions } from "../../core/backend/contract.ts";
import { RefusedError } from "../../core/backend/errors.ts";
import { importClient } from "../../core/backend/kit/client_library.ts";
import { pemParameters, readPem } from "../../core/backend/kit/tls_files.ts";
import { end, explain, Link } from "./link.ts";

/** The core reconnects and subscribes again; the client never does, and holds nothing back. */
const OPTIONS = {
  protocolVersion: 5,
  clean: true,
  reconnectPeriod: 0,
  resubscribe: false,
  queueQoSZero: false,
  keepalive: 10,
  connectTimeout: 10_000,
} satisfies IClientOptions;

/** Where the connections of a backend lead, and how each is made. */
export interface Dial {
  /** As it appears in messages. */
  readonly address: string;
  /** Connects. */
  readonly connect: () => Promise<Link>;
}

/** To the server of a URL, or over the client that the user has. */
export async function dialOf(address: Address, { client }: BackendOptions): Promise<Dial> {
  if (client !== undefined) {
    const given = client as MqttClient;
    checkClient(given);
    return { address: String(address), connect: () => borrow(given) };
  }
  const { hostname: host = "localhost", port } = hostOf(address);
  const isSecure = address.scheme === "mqtts" || pemParameters(address).length > 0;
  const { username, password } = address;
  const clientId = address.parameters.get("clientId");
  const { default: mqtt } = await importClient<{ default: typeof import("mqtt").default }>("mqtt");
  return {
    address: `${address.scheme}://${address.servers(isSecure ? 8883 : 1883)[0]}`,
    connect: async () =>
      await open(
        mqtt.connect({
          ...OPTIONS,
          protocol: isSecure ? "mqtts" : "mqtt",
          host,
          port: port ?? (isSecure ? 8883 : 1883),
          ...clientId !== null && { clientId },
          ...username !== undefined && { username },
          ...password !== undefined && { password },
          // An IP address is no server name.
          ...isSecure && { ...isIP(host) ? {} : { servername: host }, ...await readPem(address) },
        }),
      ),
  };
}

function hostOf(address: Address): Partial<Host> {
  if (address.hosts.length > 1) {
    throw new TypeError(`Cannot open "${address}": it names several hosts, mqtt:// takes one`);
  }
  if (address.path) {
    throw new TypeError(`Cannot open "${address}": MQTT has nothing to name by a path`);
  }
  return address.hosts[0] ?? {};
}

/** Connected, or why not. */
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
    throw explain(error as Error, error as Error);
  }
}

function checkClient(client: Partial<MqttClient> | null): void {
  if (typeof client?.publish !== "function" || typeof client.subscribe !== "function") {
    throw new TypeError("Cannot use client: it is not a `MqttClient` of mqtt");
  }
  if (client.options?.protocolVersion === 5) return;
  throw new TypeError(
    "Cannot use client: it speaks MQTT 3, which cannot tell overlapping subscriptions apart, connect it with protocolVersion: 5",
  );
}

/** Waits for the user's client to be connected, as it may be about to reconnect. */
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
