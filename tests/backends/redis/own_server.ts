/** A Redis server of a test's own, and an administrator's client of it. */

import { Redis } from "ioredis";
import type { Broadcast } from "../../../mod.ts";
import { start } from "../../services/redis.ts";
import type { Server } from "../../services/server.ts";
import { until } from "../../services/service.ts";
import { closed } from "./log/stream.ts";

/** The schemes that have one server. */
export const SCHEMES = ["redis", "redis-stream"] as const;

/** A server, and a client of it that may do everything. */
export class OwnServer implements AsyncDisposable {
  readonly server: Server;
  readonly admin: Redis;

  private constructor(server: Server) {
    this.server = server;
    this.admin = new Redis(server.url, { retryStrategy: () => null, enableReadyCheck: false });
  }

  static async start(...args: string[]): Promise<OwnServer> {
    return new OwnServer(await start({ args: ["--repl-diskless-sync-delay", "0", ...args] }));
  }

  /** The URL of a scheme, for a user if one is named. */
  url(scheme: string, user?: string): string {
    const login = user === undefined ? "" : `${user}:word@`;
    return `${scheme}://${login}127.0.0.1:${this.server.port}`;
  }

  /** Sends a command. */
  async call(line: string): Promise<unknown> {
    const [name, ...args] = line.split(" ");
    return await this.admin.call(name!, ...args);
  }

  /** Makes a user with these rights alone. */
  async user(name: string, rights: string): Promise<void> {
    await this.call(`ACL SETUSER ${name} reset on >word ${rights}`);
  }

  /** How often a command was called. */
  async calls(command: string): Promise<number> {
    const stats = String(await this.call("INFO commandstats"));
    return Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(stats)?.[1] ?? 0);
  }

  /** Resolves once a command was called so many more times. */
  async called(command: string, more: number): Promise<void> {
    const before = await this.calls(command);
    await until(
      async () => await this.calls(command) >= before + more,
      `${command} is not called ${more} times`,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await closed(this.admin);
    await this.server[Symbol.asyncDispose]();
  }
}

/** The states that a broadcast goes through from now on. */
export function statesOf(broadcast: Broadcast): string[] {
  const states: string[] = [];
  broadcast.addEventListener("statechange", ({ state }) => states.push(state));
  return states;
}
