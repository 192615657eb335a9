/**
 * Facts about a Redis server.
 *
 * @module
 */

import type { Redis } from "ioredis";
import type { ServerFacts } from "../../core/backend/contract.ts";
import { tlsVersionOf } from "../../core/backend/kit/tls_version.ts";
import { isReply } from "./errors.ts";
import type { Link } from "./link.ts";

/** The facts about the server of a connection. Facts that the user may not read are left out. */
export async function factsOf({ client, role }: Link): Promise<ServerFacts> {
  const [info, user, hello] = await Promise.all([
    asked(client, "INFO", "server"),
    asked(client, "ACL", "WHOAMI"),
    asked(client, "HELLO"),
  ]);
  const server = typeof info === "string" ? versionIn(info) : versionOf(hello);
  return {
    ...server !== undefined && { server },
    ...role !== undefined && { role },
    ...typeof user === "string" && { user },
    TLS: tlsVersionOf((client as { readonly stream?: unknown }).stream),
  };
}

/** The version in the reply to INFO. Compatible servers also report a version of Redis. */
function versionIn(info: string): string | undefined {
  const facts = new Map(info.split("\r\n").map((line) => line.split(":", 2) as [string, string]));
  const valkey = facts.get("valkey_version");
  if (valkey !== undefined) return `Valkey ${valkey}`;
  const dragonfly = facts.get("dragonfly_version");
  if (dragonfly !== undefined) return `Dragonfly ${dragonfly.replace(/^df-v?/, "")}`;
  const redis = facts.get("redis_version");
  return redis === undefined ? undefined : `Redis ${redis}`;
}

/** The version in the reply to HELLO, a flat list of names and values. */
function versionOf(hello: unknown): string | undefined {
  if (!Array.isArray(hello)) return undefined;
  const value = (name: string) => hello[hello.indexOf(name) + 1];
  return `${value("server") === "valkey" ? "Valkey" : "Redis"} ${value("version")}`;
}

async function asked(client: Redis, command: string, ...args: string[]): Promise<unknown> {
  try {
    return await client.call(command, ...args);
  } catch (error) {
    if (!isReply(error)) throw error;
    return undefined;
  }
}
