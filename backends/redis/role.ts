/**
 * The role of a Redis server.
 *
 * @module
 */

import type { Redis } from "ioredis";
import { isReply } from "./errors.ts";

/** The role of a server. A detached replica has no connection to its master. */
export type Role = "master" | "replica" | "detached" | "sentinel";

/** The states of a replica without a connection to its master. */
const DETACHED = ["none", "connect", "connecting", "handshake", "sync"];

/** The role of a server, or `undefined` if it does not report it. */
export async function roleOf(client: Redis): Promise<Role | undefined> {
  return await ask(client, "ROLE", ([role, , , link]) => {
    if (role !== "slave" && role !== "replica") return role;
    return DETACHED.includes(String(link)) ? "detached" : "replica";
  }) ?? await ask(client, "HELLO", (facts) => facts[facts.indexOf("role") + 1]);
}

/** Sends a command that the user may not run, or that the server may not have. */
async function ask(
  client: Redis,
  command: string,
  read: (reply: readonly unknown[]) => unknown,
): Promise<Role | undefined> {
  try {
    const role = read(await client.call(command) as unknown[]);
    return ROLES.find((known) => known === role);
  } catch (error) {
    if (!isReply(error)) throw error;
    return undefined;
  }
}

const ROLES = ["master", "replica", "detached", "sentinel"] as const;
