import { join } from "node:path";
import { Redis } from "ioredis";
import { provide } from "./debian.ts";
import { answers, start as startServer } from "./redis.ts";
import { Server } from "./server.ts";
import { freePort, until } from "./service.ts";

/** Additional options for {@linkcode start}. */
export interface SentinelOptions {
  /** What clients of the servers must know. */
  password?: string;
  /** What clients of the sentinels must know. */
  sentinelPassword?: string;
  /** More arguments of each server. */
  args?: string[];
  /** More lines of each sentinel's configuration. */
  lines?: string[];
}

/** Whom the sentinels watch. */
export const MASTER = "mymaster";

/** A master, its replica, and the sentinels that watch them. */
export class RedisSentinels implements AsyncDisposable {
  readonly servers: readonly [Server, Server];
  readonly sentinels: readonly Server[];
  readonly #options: SentinelOptions;

  constructor(
    servers: readonly [Server, Server],
    sentinels: readonly Server[],
    options: SentinelOptions,
  ) {
    this.servers = servers;
    this.sentinels = sentinels;
    this.#options = options;
  }

  /** The URL of a scheme. */
  url(scheme: string): string {
    const { password, sentinelPassword } = this.#options;
    const login = password ? `:${encodeURIComponent(password)}@` : "";
    const hosts = this.sentinels.map(({ port }) => `127.0.0.1:${port}`).join(",");
    const parameters = new URLSearchParams({
      sentinel: MASTER,
      ...sentinelPassword && { sentinelPassword },
    });
    return `${scheme}://${login}${hosts}?${parameters}`;
  }

  /** Which of the servers is the master, as the sentinels have it. */
  async master(): Promise<number> {
    const [, port] = await this.#ask("GET-MASTER-ADDR-BY-NAME", MASTER) as [string, string];
    return this.servers.findIndex((server) => server.port === Number(port));
  }

  /** Has the replica take over, with both servers alive. */
  async failover(): Promise<void> {
    await this.#ask("FAILOVER", MASTER);
  }

  async #ask(...args: string[]): Promise<unknown> {
    const { sentinelPassword: password = "" } = this.#options;
    return await ask(this.sentinels[0]!.port, password, "SENTINEL", ...args);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const all = [...this.sentinels, ...this.servers];
    await Promise.all(all.map((server) => server[Symbol.asyncDispose]()));
  }
}

/** Starts two sentinels, and what they watch; resolves once a failover is possible. */
export async function start(options: SentinelOptions = {}): Promise<RedisSentinels> {
  const { password = "", sentinelPassword = "", args = [], lines = [] } = options;
  const auth = ["--masterauth", password, "--repl-diskless-sync-delay", "0", ...args];
  const one = await startServer({ password, args: auth });
  const other = await startServer({
    password,
    args: [...auth, "--replicaof", `127.0.0.1 ${one.port}`],
  });
  await until(
    async () =>
      /master_link_status:up/.test(String(await ask(other.port, password, "INFO", "replication"))),
    "Cannot replicate",
  );
  const sentinels = await Promise.all([0, 1].map(() =>
    startSentinel([
      `sentinel monitor ${MASTER} 127.0.0.1 ${one.port} 2`,
      `sentinel down-after-milliseconds ${MASTER} 1000`,
      `sentinel failover-timeout ${MASTER} 5000`,
      ...password ? [`sentinel auth-pass ${MASTER} ${password}`] : [],
      ...sentinelPassword
        ? [`requirepass ${sentinelPassword}`, `sentinel sentinel-pass ${sentinelPassword}`]
        : [],
      ...lines,
    ])
  ));
  for (const { port } of sentinels) {
    const ready = async () => {
      const info = await ask(port, sentinelPassword, "INFO", "sentinel");
      return /slaves=1,sentinels=2/.test(String(info));
    };
    await until(ready, "Cannot find each other");
  }
  return new RedisSentinels([one, other], sentinels, options);
}

async function startSentinel(lines: readonly string[]): Promise<Server> {
  const port = freePort();
  const directory = await Deno.makeTempDir({ prefix: "sentinel-" });
  const text = [`port ${port}`, "bind 127.0.0.1", ...lines].join("\n");
  await Deno.writeTextFile(join(directory, "sentinel.conf"), `${text}\n`);
  return await Server.start({
    name: "redis-sentinel",
    url: `redis://127.0.0.1:${port}`,
    port,
    directory,
    command: await provide("redis-server", "redis-server"),
    args: ["sentinel.conf", "--sentinel"],
    answers: () => answers(port),
  });
}

async function ask(port: number, password: string, ...command: string[]): Promise<unknown> {
  const client = new Redis({ port, password, retryStrategy: () => null });
  const ended = new Promise((resolve) => client.once("end", resolve));
  try {
    const [name, ...args] = command;
    return await client.call(name!, ...args);
  } finally {
    client.disconnect();
    await ended;
  }
}
