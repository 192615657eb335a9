import { Redis } from "ioredis";
import { start as startServer, type Trust } from "./redis.ts";
import type { Server } from "./server.ts";
import { freePort, type Located, until } from "./service.ts";

/** Additional options for {@linkcode start}. */
export interface ClusterOptions {
  /** How many masters there are. */
  masters?: number;
  /** How many replicas each master has. */
  replicas?: number;
  /** What clients must know. */
  password?: string;
  /** What they show clients, and each other. */
  trust?: Trust;
  /** More arguments of each node. */
  args?: string[];
}

const SLOTS = 16_384;

/** A cluster of a test's own. */
export class RedisCluster implements AsyncDisposable {
  /** First the masters, then their replicas. */
  readonly nodes: readonly Server[];
  readonly #password: string;
  readonly #clients = new Map<number, Redis>();

  constructor(nodes: readonly Server[], password: string) {
    this.nodes = nodes;
    this.#password = password;
  }

  /** The URL that names all nodes. */
  get url(): string {
    return this.urlOf("redis");
  }

  /** The URL of a scheme. */
  urlOf(scheme: string): string {
    const login = this.#password && `:${encodeURIComponent(this.#password)}@`;
    return `${scheme}://${login}${this.nodes.map(({ port }) => `127.0.0.1:${port}`).join(",")}`;
  }

  /** Sends a command to a node. */
  async call(node: number, command: string, ...args: (string | number)[]): Promise<unknown> {
    return await (this.#clients.get(node) ?? this.#connect(node)).call(command, ...args);
  }

  /** The master that a node says owns a key. */
  async ownerOf(key: string, asked = 0): Promise<number> {
    const slot = Number(await this.call(asked, "CLUSTER", "KEYSLOT", key));
    const ranges = await this.call(asked, "CLUSTER", "SLOTS") as [
      number,
      number,
      [string, number],
    ][];
    const [, , [, port]] = ranges.find(([from, to]) => from <= slot && slot <= to)!;
    return this.nodes.findIndex((node) => node.port === port);
  }

  /** Opens a slot for moving: what is not where it was is asked for where it goes. */
  async openSlot(slot: number, from: number, to: number): Promise<void> {
    await this.call(to, "CLUSTER", "SETSLOT", slot, "IMPORTING", await this.#id(from));
    await this.call(from, "CLUSTER", "SETSLOT", slot, "MIGRATING", await this.#id(to));
  }

  /** Moves a key of an open slot. */
  async moveKey(key: string, from: number, to: number): Promise<void> {
    await this.call(from, "MIGRATE", "127.0.0.1", this.nodes[to]!.port, key, 0, 5_000);
  }

  /** Ends the moving of a slot. */
  async closeSlot(slot: number, to: number): Promise<void> {
    const id = await this.#id(to);
    const masters = this.nodes.map((_, node) => node).filter((node) => node !== to);
    for (const node of [to, ...masters]) {
      await this.call(node, "CLUSTER", "SETSLOT", slot, "NODE", id);
    }
  }

  /** Moves a slot with all its keys. */
  async moveSlot(slot: number, from: number, to: number): Promise<void> {
    await this.openSlot(slot, from, to);
    const keys = await this.call(from, "CLUSTER", "GETKEYSINSLOT", slot, 1_000) as string[];
    for (const key of keys) await this.moveKey(key, from, to);
    await this.closeSlot(slot, to);
  }

  #connect(node: number): Redis {
    const { port } = this.nodes[node]!;
    const client = new Redis({ port, password: this.#password, retryStrategy: () => null });
    this.#clients.set(node, client);
    client.on("error", () => {});
    client.once("end", () => this.#clients.delete(node));
    return client;
  }

  async #id(node: number): Promise<string> {
    return String(await this.call(node, "CLUSTER", "MYID"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of [...this.#clients.values()]) {
      const ended = new Promise((resolve) => client.once("end", resolve));
      client.disconnect();
      await ended;
    }
    await Promise.all(this.nodes.map((node) => node[Symbol.asyncDispose]()));
  }
}

/** Finds a cluster for this run, which has no usual address. */
export async function locate(): Promise<Located> {
  const url = Deno.env.get("REDIS_CLUSTER_URL");
  if (url) return { url, stop: () => Promise.resolve() };
  try {
    const cluster = await start();
    const started = `started on ports ${cluster.nodes.map(({ port }) => port).join(", ")}`;
    return { url: cluster.url, started, stop: () => cluster[Symbol.asyncDispose]() };
  } catch (error) {
    return { skip: `${(error as Error).message}, or set REDIS_CLUSTER_URL` };
  }
}

/** Starts a cluster of a test's own; resolves once all its nodes agree. */
export async function start(options: ClusterOptions = {}): Promise<RedisCluster> {
  const { masters = 3, replicas = 0, password = "", trust, args = [] } = options;
  const nodes = await Promise.all(
    Array.from({ length: masters * (1 + replicas) }, () => {
      // Its bus listens 10,000 ports further up.
      const port = freePort();
      return startServer({
        port,
        args: [
          ...["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"],
          ...["--repl-diskless-sync-delay", "0"],
          ...["--requirepass", password, "--masterauth", password],
          ...["--cluster-config-file", "nodes.conf", "--cluster-port", `${freePort()}`],
          ...trust ? [...trust.args(freePort()), "--tls-cluster", "yes"] : [],
          ...args,
        ],
      });
    }),
  );
  const cluster = new RedisCluster(nodes, password);
  try {
    await form(cluster, masters);
  } catch (error) {
    await cluster[Symbol.asyncDispose]();
    throw error;
  }
  return cluster;
}

async function form(cluster: RedisCluster, masters: number): Promise<void> {
  const size = Math.ceil(SLOTS / masters);
  const bus = (node: number) => cluster.call(node, "CONFIG", "GET", "cluster-port");
  for (let node = 0; node < cluster.nodes.length; node++) {
    await cluster.call(node, "CLUSTER", "SET-CONFIG-EPOCH", node + 1);
    if (node < masters) {
      const [from, to] = [node * size, Math.min((node + 1) * size, SLOTS) - 1];
      await cluster.call(node, "CLUSTER", "ADDSLOTSRANGE", from, to);
    }
    const [, port] = await bus(node) as string[];
    await cluster.call(0, "CLUSTER", "MEET", "127.0.0.1", cluster.nodes[node]!.port, port!);
  }
  const all = cluster.nodes.map((_, node) => node);
  const knows = async (node: number) =>
    new RegExp(`cluster_state:ok[^]*cluster_known_nodes:${all.length}\\b`)
      .test(String(await cluster.call(node, "CLUSTER", "INFO")));
  await until(
    async () => (await Promise.all(all.map(knows))).every(Boolean),
    "Cannot form cluster",
  );
  for (const node of all.slice(masters)) {
    const master = await cluster.call(node % masters, "CLUSTER", "MYID");
    await until(async () => {
      try {
        await cluster.call(node, "CLUSTER", "REPLICATE", String(master));
        return true;
      } catch {
        return false;
      }
    }, "Cannot make replica");
    await until(
      async () => /master_link_status:up/.test(String(await cluster.call(node, "INFO"))),
      "Cannot replicate",
    );
  }
}
