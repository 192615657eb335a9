/**
 * The brokers that rows are raced on.
 *
 * @module
 */

import { connect as connectTo } from "@nats-io/transport-node";
import { Redis } from "ioredis";
import connect from "postgres";
import * as nats from "../../services/nats.ts";
import * as postgres from "../../services/postgres.ts";
import * as redis from "../../services/redis.ts";
import type { Found } from "../../services/service.ts";
import type { Row } from "./rows.ts";

const SERVICES = { redis, postgres, nats };

/** A broker that answers. */
export interface Broker extends Found {
  /** Its version. */
  readonly version: string;
}

/** Finds a broker, or starts it. */
export async function locate(name: keyof typeof SERVICES): Promise<Broker> {
  const located = await SERVICES[name].locate();
  if ("skip" in located) throw new Error(`Cannot race on ${name}: ${located.skip}`);
  return { ...located, stop: () => located.stop(), version: await VERSIONS[name](located.url) };
}

/** The name of the broker that a row needs, if it needs one. */
export function brokerOf({ contenders: [ours] }: Row): keyof typeof SERVICES | undefined {
  const [scheme] = ours!.name.split(/-stream|:/);
  return scheme! in SERVICES ? scheme as keyof typeof SERVICES : undefined;
}

const VERSIONS = {
  async redis(url: string): Promise<string> {
    const client = new Redis(url);
    const info = await client.info("server");
    await client.quit();
    return /redis_version:(\S+)/.exec(info)?.[1] ?? "?";
  },
  async postgres(url: string): Promise<string> {
    const sql = connect(url, { max: 1 });
    const [row] = await sql`show server_version`;
    await sql.end();
    return `${row?.server_version}`.split(" ")[0]!;
  },
  async nats(url: string): Promise<string> {
    const connection = await connectTo({ servers: url });
    const version = connection.info?.version ?? "?";
    await connection.close();
    return version;
  },
};
