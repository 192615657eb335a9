import { join } from "node:path";
import { provide, run } from "./debian.ts";
import { jars } from "./maven.ts";
import { Server } from "./server.ts";
import { ask, find, freePort, type Located } from "./service.ts";

/** Additional options for {@linkcode start}. */
export interface KafkaOptions {
  /** The version of Kafka, such as `"3.9.1"` (the default) or `"4.1.1"`. */
  version?: string;
  /** The port; a free one by default. */
  port?: number;
  /** The port that clients are told to come back to: that of a proxy, for one. */
  advertisedPort?: number;
  /** The port that other nodes use, and the one that they are told to: that of a proxy, for one. */
  inside?: { port: number; advertised: number };
  /** Whom the broker lets in, by PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; all by default. */
  user?: { name: string; password: string };
  /** Which node of several it is, and the port of their controller: node 1 is that, too. */
  node?: { id: number; controller: number };
  /** More properties, such as `{ "auto.create.topics.enable": "false" }`. */
  properties?: Record<string, string>;
}

/** The version that runs unless another is asked for. */
export const VERSION = "3.9.1";

/** Starting and forgetting are all that these brokers do: compiling well would only delay it. */
const JAVA = [
  "-Xmx512m",
  "-XX:+UseSerialGC",
  "-XX:TieredStopAtLevel=1",
  "-XX:-UsePerfData",
  "-Djava.io.tmpdir=.", // the server's own folder
];

/** What a node has that is not alone. */
const SMALL = ["-Xmx256m"];

/** Finds a Kafka broker for this run. */
export function locate(): Promise<Located> {
  return find({
    variable: "KAFKA_URL",
    version: VERSION,
    start,
    usual: async () => await answers(9092) ? "kafka://127.0.0.1:9092" : undefined,
  });
}

/** Starts a Kafka broker of a test's own: one node, which is its own controller unless it is said. */
export async function start(options: KafkaOptions = {}): Promise<Server> {
  const { version = VERSION, port = freePort(), user } = options;
  const java = await provide("java", "default-jre-headless");
  const artifact = { group: "org.apache.kafka", name: "kafka_2.13", version };
  const cache = join(import.meta.dirname!, "..", "..", ".cache", `kafka-${version}`);
  const classes = ["-cp", join(await jars(artifact, cache), "*")];
  const directory = await Deno.makeTempDir({ prefix: "kafka-" });
  const inside = options.inside?.port ?? freePort();
  await Deno.writeTextFile(
    join(directory, "server.properties"),
    Object.entries(properties(options, directory, port, inside))
      .map(([name, value]) => `${name}=${value}\n`).join(""),
  );
  await run(java, [...JAVA, ...classes, "kafka.tools.StorageTool", ...format(user)], {
    cwd: directory,
  });
  return await Server.start({
    name: `kafka ${version}`,
    url: `kafka://${user ? `${user.name}:${user.password}@` : ""}127.0.0.1:${port}`,
    port,
    directory,
    command: java,
    args: [...JAVA, ...options.node ? SMALL : [], ...classes, "kafka.Kafka", "server.properties"],
    // The inner door asks for no password, and both open together.
    answers: () => answers(inside),
  });
}

/** Runs one of Kafka's own tools, such as `kafka.admin.ConfigCommand`. */
export async function tool(name: string, args: readonly string[]): Promise<void> {
  const java = await provide("java", "default-jre-headless");
  const artifact = { group: "org.apache.kafka", name: "kafka_2.13", version: VERSION };
  const cache = join(import.meta.dirname!, "..", "..", ".cache", `kafka-${VERSION}`);
  const cwd = await Deno.makeTempDir({ prefix: "kafka-tool-" });
  try {
    await run(java, [...JAVA, "-cp", join(await jars(artifact, cache), "*"), name, ...args], {
      cwd,
    });
  } finally {
    await Deno.remove(cwd, { recursive: true });
  }
}

function format(user: KafkaOptions["user"]): string[] {
  const args = ["format", "-t", "dGVzdC1jbHVzdGVyLWlkMQ", "-c", "server.properties"];
  if (!user) return args;
  const scram = ["SCRAM-SHA-256", "SCRAM-SHA-512"].flatMap((mechanism) => [
    "--add-scram",
    `${mechanism}=[name=${user.name},password=${user.password}]`,
  ]);
  return [...args, ...scram];
}

function properties(
  { advertisedPort, inside: between, user, node, properties }: KafkaOptions,
  directory: string,
  port: number,
  inside: number,
): Record<string, string> {
  const { id, controller } = node ?? { id: 1, controller: freePort() };
  return {
    "process.roles": id === 1 ? "broker,controller" : "broker",
    "node.id": `${id}`,
    "controller.quorum.voters": `1@127.0.0.1:${controller}`,
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "INSIDE",
    "listeners": `CLIENT://127.0.0.1:${port},INSIDE://127.0.0.1:${inside}` +
      (id === 1 ? `,CONTROLLER://127.0.0.1:${controller}` : ""),
    "advertised.listeners": `CLIENT://127.0.0.1:${advertisedPort ?? port},` +
      `INSIDE://127.0.0.1:${between?.advertised ?? inside}`,
    "listener.security.protocol.map": `CLIENT:${user ? "SASL_PLAINTEXT" : "PLAINTEXT"},` +
      "INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "log.dirs": join(directory, "data"),
    "offsets.topic.num.partitions": "1",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    // A broker that was killed may come back once its last session is over.
    "broker.heartbeat.interval.ms": "500",
    "broker.session.timeout.ms": "3000",
    "group.initial.rebalance.delay.ms": "0",
    ...(user ? sasl(user) : {}),
    ...properties,
  };
}

function sasl({ name, password }: { name: string; password: string }): Record<string, string> {
  const modules = "org.apache.kafka.common.security";
  const scram = `${modules}.scram.ScramLoginModule required;`;
  return {
    "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
    "listener.name.client.plain.sasl.jaas.config":
      `${modules}.plain.PlainLoginModule required user_${name}="${password}";`,
    "listener.name.client.scram-sha-256.sasl.jaas.config": scram,
    "listener.name.client.scram-sha-512.sasl.jaas.config": scram,
  };
}

/** Asks for the metadata of no topic: a broker that serves names itself among the brokers. */
function answers(port: number): Promise<boolean> {
  const [key, version, correlation] = [3, 1, 7];
  const request = new DataView(new ArrayBuffer(18));
  request.setInt32(0, 14);
  request.setInt16(4, key);
  request.setInt16(6, version);
  request.setInt32(8, correlation);
  request.setInt16(12, -1); // no client id
  request.setInt32(14, 0); // no topics
  return ask(port, new Uint8Array(request.buffer), (reply) => {
    const view = new DataView(reply.buffer);
    return reply.length >= 12 && view.getInt32(4) === correlation && view.getInt32(8) > 0;
  });
}
