import { join } from "node:path";
import { Redis } from "ioredis";
import { provide } from "./debian.ts";
import { answers, start as startServer, type Trust } from "./redis.ts";
import { Server } from "./server.ts";
import { freePort, until } from "./service.ts";

/** Additional options for {@linkcode start}. */
export interface SentinelOptions {
  /** What clients of the servers must know. */
  password?: string;
  /** What clients of the sentinels must know. */
  sentinelPassword?: string;
  /** What servers and sentinels show clients, and each other. */
  trust?: Trust;
}

/** Whom the sentinels watch. */
export const MASTER = "mymaster";

/** A master, its replica, and the sentinels that watch them. */
export class RedisSentinels implements AsyncDisposable {
  readonly servers: readonly [Server, Server];
  readonly sentinels: readonly Server[];
  /** The sentinels' ports for TLS, where they have some. */
  readonly #doors: readonly number[];
  readonly #options: SentinelOptions;

  constructor(
    servers: readonly [Server, Server],
    sentinels: readonly Server[],
    doors: readonly number[],
    options: SentinelOptions,
  ) {
    this.servers = servers;
    this.sentinels = sentinels;
    this.#doors = doors;
    this.#options = options;
  }

  /** The URL of a scheme. */
  url(scheme: string): string {
    const { password, sentinelPassword, trust } = this.#options;
    const login = password ? `:${encodeURIComponent(password)}@` : "";
    const ports = trust ? this.#doors : this.sentinels.map(({ port }) => port);
    const hosts = ports.map((port) => `127.0.0.1:${port}`).join(",");
    const parameters = new URLSearchParams({
      sentinel: MASTER,
      ...sentinelPassword && { sentinelPassword },
      ...trust && Object.fromEntries(trust.parameters),
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
  const { password = "", sentinelPassword = "", trust } = options;
  const auth = ["--masterauth", password, "--repl-diskless-sync-delay", "0"];
  const secure = (port: number) => trust ? [...trust.args(port), "--tls-replication", "yes"] : [];
  const ports = [freePort(), freePort()] as const;
  const one = await startServer({ password, args: [...auth, ...secure(ports[0])] });
  const master = trust ? ports[0] : one.port;
  const other = await startServer({
    password,
    args: [...auth, ...secure(ports[1]), "--replicaof", `127.0.0.1 ${master}`],
  });
  await until(
    async () =>
      /master_link_status:up/.test(String(await ask(other.port, password, "INFO", "replication"))),
    "Cannot replicate",
  );
  const doors = [freePort(), freePort()];
  const sentinels = await Promise.all(doors.map((door) =>
    startSentinel([
      `sentinel monitor ${MASTER} 127.0.0.1 ${master} 2`,
      `sentinel down-after-milliseconds ${MASTER} 1000`,
      `sentinel failover-timeout ${MASTER} 5000`,
      ...password ? [`sentinel auth-pass ${MASTER} ${password}`] : [],
      ...sentinelPassword
        ? [`requirepass ${sentinelPassword}`, `sentinel sentinel-pass ${sentinelPassword}`]
        : [],
      ...trust
        ? [...trust.settings(door), ["tls-replication", "yes"]].map((one) => one.join(" "))
        : [],
    ])
  ));
  for (const { port } of sentinels) {
    const ready = async () => {
      const info = await ask(port, sentinelPassword, "INFO", "sentinel");
      return /slaves=1,sentinels=2/.test(String(info));
    };
    await until(ready, "Cannot find each other");
  }
  return new RedisSentinels([one, other], sentinels, doors, options);
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
