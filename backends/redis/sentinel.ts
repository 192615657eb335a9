/**
 * Finds the master that Redis Sentinel watches.
 *
 * @module
 */

import { createConnection, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { RedisOptions } from "ioredis";
import type { Host } from "../../core/backend/address.ts";
import { inBackground } from "../../core/util/background.ts";
import { quote } from "../../core/util/quote.ts";
import { Link, OPTIONS } from "./link.ts";

/** The time limit for the answer of one sentinel, in milliseconds. After it, the next one is asked. */
const PATIENCE = 2_000;

/** The sentinels of a URL. */
export interface Sentinels {
  /** The hosts of the sentinels. */
  readonly hosts: readonly Host[];
  /** The name of the master at the sentinels. */
  readonly master: string;
  /** The credentials and the TLS files for the sentinels. */
  readonly settings: Pick<RedisOptions, "username" | "password" | "tls">;
}

/** Creates the sockets of a client. */
type Connector = NonNullable<RedisOptions["Connector"]>;

/**
 * Connects clients to the master, by asking one sentinel after the other. The connector of ioredis
 * leaves timers behind, and does not report a reply that it could not use.
 */
export function connectorOf(
  { AbstractConnector, Redis }: typeof import("ioredis"),
  { hosts, master, settings }: Sentinels,
): Connector {
  // The sentinel that answered last is asked first.
  let order = [...hosts];

  return class extends AbstractConnector {
    #asked: Link | undefined;

    constructor() {
      super(PATIENCE);
    }

    override async connect(): Promise<Socket> {
      this.connecting = true;
      const { hostname, port } = await this.#find();
      const host = { host: hostname, port: port! };
      const name = isIP(hostname) ? {} : { servername: hostname };
      const { tls } = settings;
      const socket = tls ? connectTls({ ...host, ...name, ...tls }) : createConnection(host);
      socket.once("error", (error) => this.firstError = error);
      return this.stream = socket;
    }

    override disconnect(): void {
      super.disconnect();
      if (this.#asked) inBackground(this.#asked.close());
    }

    async #find(): Promise<Host> {
      let failure: unknown;
      for (const sentinel of order) {
        try {
          const found = await this.#ask(sentinel);
          order = [sentinel, ...order.filter((other) => other !== sentinel)];
          return found;
        } catch (error) {
          if (!this.connecting) throw error;
          failure = error;
        }
      }
      throw failure;
    }

    async #ask({ hostname, port = 26379 }: Host): Promise<Host> {
      const address = { host: hostname, port, connectTimeout: PATIENCE };
      const link = this.#asked = new Link(new Redis({ ...OPTIONS, ...settings, ...address }), {
        sentinel: true,
      });
      try {
        await link.ready;
        const found = await link.client.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", master);
        if (!this.connecting) throw new Error("it was closed");
        if (!found) throw new Error(`the sentinels know no master ${quote(master)}`);
        const [name, port] = found as [string, string];
        return { hostname: name, port: Number(port) };
      } finally {
        await link.close();
      }
    }
  };
}
