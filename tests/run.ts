/**
 * Runs the tests against real brokers: `deno task test [file] [--filter name]`. With
 * `REQUIRE_BROKERS=1` a service that is missing is a failure, not a reason to skip.
 */

import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import * as amqp from "./services/amqp.ts";
import * as chromium from "./services/chromium.ts";
import * as kafka from "./services/kafka.ts";
import * as mqtt from "./services/mqtt.ts";
import * as nats from "./services/nats.ts";
import * as postgres from "./services/postgres.ts";
import * as redis from "./services/redis.ts";
import * as redisCluster from "./services/redis_cluster.ts";
import { guard } from "./services/server.ts";
import { find, type Located } from "./services/service.ts";

const SERVICES = [
  { name: "redis", variable: "REDIS_URL", locate: redis.locate },
  { name: "redis_cluster", variable: "REDIS_CLUSTER_URL", locate: redisCluster.locate },
  { name: "postgres", variable: "POSTGRES_URL", locate: postgres.locate },
  { name: "kafka", variable: "KAFKA_URL", locate: kafka.locate },
  { name: "kafka4", variable: "KAFKA4_URL", locate: locateKafka4 },
  { name: "amqp", variable: "AMQP_URL", locate: amqp.locate },
  { name: "mqtt", variable: "MQTT_URL", locate: mqtt.locate },
  { name: "nats", variable: "NATS_URL", locate: nats.locate },
  { name: "chromium", variable: "CHROMIUM_PATH", locate: chromium.locate },
];

/** A leak is a bug: these make one fail the test, and show where it began. */
const LEAKS = ["--sanitize-ops", "--sanitize-resources", "--trace-leaks"];

const REQUIRED = Boolean(Deno.env.get("REQUIRE_BROKERS"));

/** How many tests and steps passed and failed, by the summary of a run, if it got that far. */
export function count(output: string): { passed: number; failed: number } | undefined {
  const summaries = stripVTControlCharacters(output).match(/^(ok|FAILED) \| .*$/gm);
  const summary = summaries?.at(-1);
  return summary && { passed: tally(summary, "passed"), failed: tally(summary, "failed") } ||
    undefined;
}

if (import.meta.main) Deno.exit(await main());

async function main(): Promise<number> {
  const interrupt = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => {
      if (interrupt.signal.aborted) Deno.exit(130);
      interrupt.abort();
    });
  }
  // Tests that are interrupted leave their files behind, all of them in here.
  const scratch = await Deno.makeTempDir({ prefix: "broadcaster-" });
  await Deno.chmod(scratch, 0o711);
  Deno.env.set("TMPDIR", scratch);
  const located = await Promise.all(SERVICES.map(locate));
  try {
    if (interrupt.signal.aborted) return 130;
    const { code, output } = await test(variables(located), interrupt.signal);
    if (interrupt.signal.aborted) return 130;
    return report(code, output, located);
  } finally {
    await Promise.all(located.map((service) => "stop" in service && service.stop()));
    await Deno.remove(scratch, { recursive: true }).catch(() => {});
  }
}

/** Finds a broker of the line after the one that runs by default, which has no usual address. */
function locateKafka4(): Promise<Located> {
  const version = "4.1.1";
  return find({
    variable: "KAFKA4_URL",
    version,
    start: () => kafka.start({ version }),
    usual: () => Promise.resolve(undefined),
  });
}

async function locate(service: typeof SERVICES[number]): Promise<Located> {
  const located = await service.locate();
  const state = "skip" in located
    ? `${REQUIRED ? "missing" : "skipped"}: ${located.skip}`
    : located.started ?? located.url.replace(/\/\/[^@/]*@/, "//");
  print(`${service.name.padEnd(14)}${state}`);
  return located;
}

/** What the tests learn of the services: where each one is, or why it is not there. */
function variables(located: Located[]): Record<string, string> {
  return Object.fromEntries(SERVICES.map(({ name, variable }, i) => {
    const service = located[i]!;
    return "skip" in service
      ? [`BROADCASTER_SKIP_${name.toUpperCase()}`, service.skip]
      : [variable, service.url];
  }));
}

async function test(env: Record<string, string>, signal: AbortSignal) {
  const color = Deno.stdout.isTerminal() && !Deno.noColor;
  const flags = ["-A", "--no-prompt", "--doc", ...LEAKS, ...await importMap(), ...Deno.args];
  const [command, ...args] = [...guard(), Deno.execPath(), "test", ...flags];
  const child = new Deno.Command(command!, {
    args,
    env: color ? { ...env, FORCE_COLOR: "1" } : env,
    stdin: "null",
    stdout: "piped",
    signal,
  }).spawn();
  const decoder = new TextDecoder();
  let output = "";
  for await (const chunk of child.stdout) {
    const text = decoder.decode(chunk, { stream: true });
    output += text;
    await Deno.stdout.write(chunk);
  }
  const { code } = await child.status;
  return { code, output };
}

/** Where JSR cannot be reached, stand-ins take the place of its packages. */
async function importMap(): Promise<string[]> {
  const packages = ["jsr:@std/assert@^1.0.0", "jsr:@std/async@^1.0.0"];
  const { success } = await new Deno.Command(Deno.execPath(), {
    args: ["cache", "--no-config", ...packages],
    stdout: "null",
    stderr: "null",
    signal: AbortSignal.timeout(15_000),
  }).output();
  return success ? [] : ["--import-map", join(import.meta.dirname!, "import_map.json")];
}

function report(code: number, output: string, located: Located[]): number {
  const missing = REQUIRED ? located.filter((service) => "skip" in service).length : 0;
  if (missing) print(`REQUIRE_BROKERS is set, and ${missing} of the services above are missing`);
  const counts = count(output);
  if (!counts) print("No test ran to its end");
  else if (counts.passed + counts.failed === 0) print("No test ran");
  const { passed, failed } = counts ?? { passed: 0, failed: 0 };
  // What fails outside of a test, such as a type check, is a failure all the same.
  const failures = Math.max(failed, code === 0 ? 0 : 1) + missing;
  print(`${passed} passed, ${failures} failed`);
  return failures > 0 || passed === 0 ? code || 1 : 0;
}

function tally(summary: string, word: string): number {
  const [, tests = 0, steps = 0] =
    summary.match(new RegExp(`(\\d+) ${word}(?: \\((\\d+) steps?\\))?`)) ?? [];
  return Number(tests) + Number(steps);
}

function print(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}
