import { join } from "node:path";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { provide } from "./debian.ts";
import { Server } from "./server.ts";
import { ask, find, freePort, type Located, until } from "./service.ts";

/** Additional options for {@linkcode start}. */
export interface NatsOptions {
  /** The port; a free one by default. */
  port?: number;
  /** Whether it has JetStream. */
  jetstream?: boolean;
  /** More of its configuration, such as `authorization { token: secret }`. */
  config?: string;
}

/** Finds a NATS server for this run. */
export function locate(): Promise<Located> {
  return find({
    variable: "NATS_URL",
    start,
    usual: async () => await answers(4222, true) ? "nats://127.0.0.1:4222" : undefined,
  });
}

/** Starts a NATS server of a test's own, whose streams outlive its process. */
export async function start(options: NatsOptions = {}): Promise<Server> {
  const { port = freePort(), jetstream = true, config = "" } = options;
  const monitor = freePort();
  const command = await provide("nats-server", "nats-server");
  const directory = await Deno.makeTempDir({ prefix: "nats-" });
  await configure(directory, jetstream, config);
  await Deno.writeTextFile(join(directory, "nats.monitor"), `${monitor}`);
  return await Server.start({
    name: "nats-server",
    url: `nats://127.0.0.1:${port}`,
    port,
    directory,
    command,
    args: [
      ...["-a", "127.0.0.1", "-p", `${port}`, "-m", `${monitor}`],
      ...["-c", "nats.conf", "-P", "nats.pid"],
    ],
    answers: () => answers(port, jetstream),
  });
}

/** What a server of a test's own says of itself, such as at `/varz`. */
export async function monitored({ directory }: Server, path: string): Promise<unknown> {
  const port = await Deno.readTextFile(join(directory, "nats.monitor"));
  return await (await fetch(`http://127.0.0.1:${port}${path}`)).json();
}

/** Starts three servers, each of which can have all of a stream; resolves once they have a leader. */
export async function startCluster(): Promise<Server[]> {
  const doors = [freePort(), freePort(), freePort()];
  const routes = doors.map((door) => `"nats://127.0.0.1:${door}"`).join(", ");
  const servers = await Promise.all(doors.map((door, index) =>
    start({
      config: `server_name: server${index}\n` +
        // Clients know the ways to the servers that a test gives them, and learn of no other.
        `cluster { name: tests, listen: "127.0.0.1:${door}", no_advertise: true, ` +
        `routes: [${routes}] }`,
    })
  ));
  await until(() => canReplicate(servers[0]!), "Cannot form JetStream cluster");
  return servers;
}

async function canReplicate({ url }: Server): Promise<boolean> {
  const client = await connect({ servers: url, reconnect: false });
  try {
    const manager = await jetstreamManager(client, { checkAPI: false, timeout: 1_000 });
    await manager.streams.add({ name: "trial", subjects: ["trial"], num_replicas: 3 });
    return await manager.streams.delete("trial");
  } catch {
    return false;
  } finally {
    await client.close();
  }
}

/** Has another server lead a stream; no connection is lost. */
export async function stepDown({ url }: Server, stream: string): Promise<void> {
  const client = await connect({ servers: url });
  try {
    await client.request(`$JS.API.STREAM.LEADER.STEPDOWN.${stream}`, "", { timeout: 5_000 });
  } finally {
    await client.close();
  }
}

/** Gives a server another configuration while it runs; resolves once it has it. */
export async function reload({ directory }: Server, config: string, jetstream = true) {
  await configure(directory, jetstream, config);
  const reloads = async () => {
    const log = await Deno.readTextFile(join(directory, "server.log"));
    return log.split("Reloaded server configuration").length;
  };
  const before = await reloads();
  Deno.kill(Number(await Deno.readTextFile(join(directory, "nats.pid"))), "SIGHUP");
  await until(async () => await reloads() > before, "Cannot reload nats-server");
}

async function configure(directory: string, jetstream: boolean, config: string): Promise<void> {
  const store = jetstream ? 'jetstream { store_dir: "store" }' : "";
  await Deno.writeTextFile(join(directory, "nats.conf"), `${store}\n${config}\n`);
}

/** Its first line says whether it has JetStream; it listens once that is ready. */
function answers(port: number, jetstream: boolean): Promise<boolean> {
  return ask(port, "", (reply) => {
    const text = new TextDecoder().decode(reply);
    return text.startsWith("INFO ") && text.includes('"jetstream":true') === jetstream;
  });
}

/** Removes a stream that tests have left on a server, if it is there. */
export async function removeStream(url: string, name: string): Promise<void> {
  const client = await connect({ servers: url });
  const { streams } = await jetstreamManager(client, { checkAPI: false });
  await streams.delete(name).catch(() => {});
  await client.close();
}
