import { join } from "node:path";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { provide } from "./debian.ts";
import { Server } from "./server.ts";
import { ask, find, freePort, type Located } from "./service.ts";

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
  const command = await provide("nats-server", "nats-server");
  const directory = await Deno.makeTempDir({ prefix: "nats-" });
  const store = jetstream ? 'jetstream { store_dir: "store" }' : "";
  await Deno.writeTextFile(join(directory, "nats.conf"), `${store}\n${config}\n`);
  return await Server.start({
    name: "nats-server",
    url: `nats://127.0.0.1:${port}`,
    port,
    directory,
    command,
    args: ["-a", "127.0.0.1", "-p", `${port}`, "-c", "nats.conf"],
    answers: () => answers(port, jetstream),
  });
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
