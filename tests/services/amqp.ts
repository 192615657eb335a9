import { join } from "node:path";
import { connect } from "amqplib";
import { provide, run } from "./debian.ts";
import { Server } from "./server.ts";
import { ask, find, freePort, type Located, until } from "./service.ts";

/** Where Debian has the server itself, past the script that changes the user. */
const SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/** What lets other programs talk to the node. */
const COOKIE = "broadcaster";

/** Finds an AMQP server for this run. */
export function locate(): Promise<Located> {
  return find({
    variable: "AMQP_URL",
    start: () => start(),
    usual: async () => await answers(5672) ? "amqp://guest:guest@127.0.0.1:5672" : undefined,
  });
}

/**
 * Starts a RabbitMQ of a test's own: a node that knows no other.
 *
 * @param config More of its configuration, such as `listeners.ssl.default = 5671`.
 */
export async function start(config = ""): Promise<Server> {
  return (await launch(config)).server;
}

/**
 * Starts one whose first stream is on disk: that of a node which dies within a second of it is
 * down for ever, since the node has forgotten who was to take care of streams.
 */
export async function startWithStreams(): Promise<Server> {
  const { server, data } = await launch("");
  const client = await connect(server.url);
  const lane = await client.createChannel();
  await lane.assertQueue("first", { durable: true, arguments: { "x-queue-type": "stream" } });
  const names = join(data, "names.dets");
  await until(
    async () => (await Deno.readTextFile(names)).includes("rabbit_stream_coordinator"),
    "Cannot start rabbitmq with a stream",
  );
  await client.close();
  return server;
}

async function launch(config: string): Promise<{ server: Server; data: string }> {
  const command = await provide("rabbitmq-server", "rabbitmq-server", async () => {
    const file = await Deno.stat(SERVER).catch(() => undefined);
    return file && SERVER;
  });
  const [port, between] = [freePort(), freePort()];
  const directory = await Deno.makeTempDir({ prefix: "amqp-" });
  await Deno.writeTextFile(join(directory, "plugins"), "[].\n");
  await Deno.writeTextFile(
    join(directory, "rabbitmq.conf"),
    `listeners.tcp.local = 127.0.0.1:${port}\nlog.file = false\nlog.console = true\n${config}\n`,
  );
  const node = `broadcaster-${port}@localhost`;
  const variables = {
    HOME: directory,
    RABBITMQ_NODENAME: node,
    RABBITMQ_DIST_PORT: `${between}`,
    RABBITMQ_MNESIA_BASE: join(directory, "data"),
    RABBITMQ_LOG_BASE: join(directory, "logs"),
    RABBITMQ_CONFIG_FILE: join(directory, "rabbitmq.conf"),
    RABBITMQ_ENABLED_PLUGINS_FILE: join(directory, "plugins"),
    RABBITMQ_PID_FILE: join(directory, "pid"),
    // Erlang's name server would outlive the node.
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: `+S 1:1 -setcookie ${COOKIE}`,
  };
  const server = await Server.start({
    name: "rabbitmq",
    url: `amqp://guest:guest@127.0.0.1:${port}`,
    port,
    directory,
    command: "env",
    args: [...Object.entries(variables).map(([name, value]) => `${name}=${value}`), command],
    answers: () => answers(port),
  });
  return { server, data: join(directory, "data", node, "coordination", node) };
}

/** Evaluates Erlang on a node of a test's own. Much faster than `rabbitmqctl`. */
export async function evaluate({ port }: Server, code: string): Promise<string> {
  const command = await provide("erl_call", "erlang-base");
  const process = new Deno.Command(command, {
    args: ["-sname", `broadcaster-${port}@localhost`, "-c", COOKIE, "-e"],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = process.stdin.getWriter();
  await writer.write(new TextEncoder().encode(`${code}.\n`));
  await writer.close();
  const { stdout, stderr } = await process.output();
  const answer = new TextDecoder().decode(stdout);
  if (answer.startsWith("{ok, ")) return answer.slice(5, -1);
  throw new Error(`Cannot evaluate ${code}: ${answer}${new TextDecoder().decode(stderr)}`);
}

/** The node has too little memory, as it says, or enough again. */
export async function alarm(server: Server, isOn: boolean): Promise<void> {
  const limit = "{resource_limit, memory, node()}";
  await evaluate(
    server,
    isOn ? `rabbit_alarm:set_alarm({${limit}, []})` : `rabbit_alarm:clear_alarm(${limit})`,
  );
}

/** The rights of a user: what it may configure, write and read, as regular expressions. */
export type Rights = readonly [configure: string, write: string, read: string];

/** Sets the rights of a user, who is created if need be, with its name as password. */
export async function permit(
  server: Server,
  user: string,
  rights: Rights,
  vhost = "/",
): Promise<void> {
  const [name, ...words] = [user, vhost, ...rights].map((word) => `<<"${word}">>`);
  await evaluate(
    server,
    `catch rabbit_auth_backend_internal:add_user(${name}, ${name}, <<"test">>), ` +
      `rabbit_auth_backend_internal:set_permissions(${[name, ...words].join(", ")}, <<"test">>)`,
  );
}

/** Runs `rabbitmqctl` on the local node, as its user. */
export async function control(...args: string[]): Promise<string> {
  return await run("rabbitmqctl", ["-q", ...args]);
}

/** Says which protocol it speaks, and is asked to log in. */
function answers(port: number): Promise<boolean> {
  const header = new Uint8Array([0x41, 0x4d, 0x51, 0x50, 0, 0, 9, 1]);
  return ask(port, header, (reply) => reply[0] === 1 && reply[8] === 10);
}
