/** What clients have at a broker: connections, subscriptions, and all that stands for them there. */

import { Redis } from "ioredis";
import mqtt from "mqtt";
import sqlOf from "postgres";
import { evaluate } from "../services/amqp.ts";
import { monitored } from "../services/nats.ts";
import type { Server } from "../services/server.ts";

/** Names, and how many there are of each. */
export type Inventory = Readonly<Record<string, number>>;

/** Counts what clients have at a server; nothing where it does not tell. */
export async function inventoryOf(scheme: string, server: Server): Promise<Inventory> {
  const [broker] = scheme.split("-");
  return await COUNTERS[broker!]?.(server) ?? {};
}

const COUNTERS: Readonly<Record<string, (server: Server) => Promise<Inventory>>> = {
  async redis({ port }) {
    const client = new Redis({ port });
    try {
      const [channels, patterns, clients] = await Promise.all([
        client.pubsub("CHANNELS") as Promise<unknown[]>,
        client.call("PUBSUB", "NUMPAT") as Promise<number>,
        client.client("LIST") as Promise<string>,
      ]);
      const others = clients.trim().split("\n").length - 1;
      return { channels: channels.length, patterns, clients: others };
    } finally {
      await client.quit();
    }
  },

  async postgres({ url }) {
    const sql = sqlOf(url, { max: 1 });
    try {
      const [row] = await sql`select
        (select count(*)::int from pg_stat_activity
          where backend_type = 'client backend' and pid <> pg_backend_pid()) as sessions,
        (select count(*)::int from pg_locks where pid <> pg_backend_pid()) as locks`;
      return { sessions: row!.sessions, locks: row!.locks };
    } finally {
      await sql.end();
    }
  },

  async nats(server) {
    const { connections, subscriptions } = await monitored(server, "/varz") as Inventory;
    const { consumers = 0 } = await monitored(server, "/jsz") as Inventory;
    return { connections: connections!, subscriptions: subscriptions!, consumers };
  },

  async amqp(server) {
    const counted = await evaluate(
      server,
      "{length(rabbit_amqqueue:list()), length(rabbit_binding:list(<<47>>)), " +
        "length(rabbit_channel:list()), length(rabbit_amqqueue:consumers_all(<<47>>))}",
    );
    const [queues, bindings, channels, consumers] = counted.match(/\d+/g)!.map(Number);
    return {
      queues: queues!,
      bindings: bindings!,
      channels: channels!,
      consumers: consumers!,
    };
  },

  async mqtt({ url }) {
    const client = await mqtt.connectAsync(url);
    try {
      // It counts every ten seconds, and keeps what it has counted.
      const counted = new Promise<string>((resolve) =>
        client.on("message", (_, payload) => resolve(payload.toString()))
      );
      await client.subscribeAsync("$SYS/broker/subscriptions/count");
      return { subscriptions: Number(await counted) };
    } finally {
      await client.endAsync();
    }
  },
};
