/**
 * The terminal command `broadcaster`: publishes, subscribes, reads the past, and checks a broker.
 *
 * With npm: `npx @broadcaster/broadcaster`. The client of the broker is a separate package:
 * `npx -p @broadcaster/broadcaster -p ioredis broadcaster sub redis://localhost:6379 chatroom`.
 *
 * With Deno: `deno run -A jsr:@broadcaster/broadcaster/cli`.
 *
 * | command | what it does |
 * |---|---|
 * | `pub` | publishes a message, or each line of standard input |
 * | `sub` | writes the events of channels, one per line |
 * | `history` | writes the past events of a channel |
 * | `check` | checks whether a broker can be used, what it can do, and what is missing |
 *
 * `--help` after a command lists its options. The URL of the broker is the first argument, or the
 * environment variable `BROADCASTER_URL`, which keeps a password out of the list of processes.
 *
 * The result goes to standard output, everything else to standard error. The exit code is 0, 1 if
 * something failed, or 2 if the arguments are wrong. Colours are shown on terminals unless
 * `NO_COLOR` is set, and elsewhere if `FORCE_COLOR` is set.
 *
 * @module
 */

import { realpathSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { reasonOf } from "../core/backend/errors.ts";
import { CLIENTS, MissingClientError } from "../core/backend/kit/client_library.ts";
import { inBackground } from "../core/util/background.ts";
import { nearestOf } from "../core/util/nearest.ts";
import { quote } from "../core/util/quote.ts";
import { Arguments, type Command, helpOf, table, UsageError } from "./arguments.ts";
import { CHECK } from "./check.ts";
import { HISTORY } from "./history.ts";
import { PUBLISH } from "./publish.ts";
import { SUBSCRIBE } from "./subscribe.ts";
import { Terminal } from "./terminal.ts";
import { VERSION } from "./version.ts";

const COMMANDS: readonly Command[] = [PUBLISH, SUBSCRIBE, HISTORY, CHECK];

const HELP = `Realtime channels over Redis, Postgres, Kafka, RabbitMQ, NATS and MQTT.

Usage: broadcaster COMMAND [options] [URL] ...

Commands:
${table(COMMANDS.map(({ name, summary }) => [name, summary]))}

URL is the URL of the broker, such as redis://localhost:6379. Without it, the environment variable
BROADCASTER_URL is used, which keeps a password out of the list of processes.

broadcaster COMMAND --help shows more. The exit code is 1 if something failed, and 2 if the
arguments are wrong.
`;

/**
 * Runs the command on the standard streams of this process.
 *
 * @param args The arguments, from the name of the command on: `["pub", url, "chatroom", "hello"]`.
 * @returns The exit code.
 */
export async function main(args: readonly string[]): Promise<number> {
  const terminal = new Terminal();
  try {
    return await run(args, terminal);
  } finally {
    terminal.release();
  }
}

async function run([name, ...rest]: readonly string[], terminal: Terminal): Promise<number> {
  const { out, err } = terminal;
  const command = COMMANDS.find((command) => command.name === name);
  const fail = async (message: string, help: string) => {
    const text = err.shown(message);
    await err.write(
      `${err.paint("red", "error:")} ${text}\n${help && `${err.paint("dim", help)}\n`}`,
    );
  };
  if (!command) {
    if (name === undefined) {
      await err.write(HELP);
      return 2;
    }
    if (/^(help|-h|--help)$/.test(name)) {
      const asked = COMMANDS.find((command) => command.name === rest[0]);
      await out.write(asked ? helpOf(asked) : HELP);
      return 0;
    }
    if (/^(version|-V|--version)$/.test(name)) {
      await out.write(`${VERSION}\n`);
      return 0;
    }
    const nearest = nearestOf(name, COMMANDS.map(({ name }) => name));
    const hint = nearest === undefined
      ? `, known commands are ${COMMANDS.map(({ name }) => name).join(", ")}`
      : `, did you mean ${nearest}?`;
    await fail(`unknown command ${quote(name)}${hint}`, "broadcaster --help lists the commands");
    return 2;
  }
  try {
    const given = new Arguments(command, rest);
    if (given.has("help")) {
      await out.write(helpOf(command));
      return 0;
    }
    const code = await command.run(given, terminal);
    if (out.error === undefined) return code;
    throw new Error(`Cannot write to standard output: ${out.error.message}`, { cause: out.error });
  } catch (error) {
    if (error instanceof UsageError) {
      await fail(reasonOf(error), `broadcaster ${command.name} --help shows more`);
      return 2;
    }
    await fail(error instanceof MissingClientError ? missing(error, command) : reasonOf(error), "");
    return 1;
  }
}

/** How to run a command together with a client, since npm installs only named packages. */
function missing({ client, message }: MissingClientError, { name }: Command): string {
  if ("Deno" in globalThis) return message;
  const [reason] = message.split(":", 1);
  // JetStream also needs the client of NATS, which would be the next missing package.
  const names = client === "@nats-io/jetstream"
    ? [client, "@nats-io/transport-node"] as const
    : [client];
  const packages = names.map((name) => `${name}@${CLIENTS[name].replace(/^\^(\d+).*/, "$1")}`);
  const flags = packages.map((name) => `-p ${name}`).join(" ");
  return `${reason}: it is not installed beside this command. Name both, and npm fetches them:

  npx -p @broadcaster/broadcaster ${flags} broadcaster ${name} ...

or install it in your project: npm install ${packages.join(" ")}`;
}

/** Runs as the program of this process. Ends the process as the received signal would have. */
async function runAsProgram(): Promise<void> {
  const terminal = new Terminal();
  const code = await run(process.argv.slice(2), terminal);
  terminal.release();
  await terminal.out.flush();
  await terminal.err.flush();
  // A shell checks for the signal itself, to end a loop.
  if (terminal.signal !== undefined) process.kill(process.pid, terminal.signal);
  else process.exit(code);
}

/** Whether this module is the program. Node before 24 has no `import.meta.main`. */
function isProgram(): boolean {
  if (import.meta.main !== undefined) return import.meta.main;
  try {
    return realpathSync(process.argv[1]!) === fileURLToPath(import.meta.url);
  } catch {
    return false;
  }
}

if (isProgram()) inBackground(runAsProgram());
