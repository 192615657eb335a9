/**
 * Runs the tests against real brokers: `deno task test [file …] [--filter name]`.
 *
 * Without files it runs those of a set: `--set test` is what everybody runs, `--set rest` what
 * `deno task test:all` adds, `--set all` both, `--set long` what `deno task test:long` begins with,
 * and `--set unit` what needs no broker. With `REQUIRE_BROKERS=1` a service that is missing is a
 * failure, not a reason to skip. With `--retry 1` a test that fails is run once more; one that passes
 * then is shown as flaky.
 */

import { join, relative } from "node:path";
import { clearTimeout, setTimeout } from "node:timers";
import { parseArgs, stripVTControlCharacters } from "node:util";
import * as amqp from "./services/amqp.ts";
import * as chromium from "./services/chromium.ts";
import * as kafka from "./services/kafka.ts";
import * as mqtt from "./services/mqtt.ts";
import * as nats from "./services/nats.ts";
import * as pgbouncer from "./services/pgbouncer.ts";
import * as pgpool from "./services/pgpool.ts";
import * as postgres from "./services/postgres.ts";
import * as redis from "./services/redis.ts";
import * as redisCluster from "./services/redis_cluster.ts";
import { guard } from "./services/server.ts";
import { find, type Located } from "./services/service.ts";

const TESTS = import.meta.dirname!;
const PROJECT = join(TESTS, "..");

/** Tests that go to one broker after the other. */
const SEVERAL = /^backends\/\w+_test|^runtimes\/(bundlers|suite|cli)|^cli\//;
/** What they do without. */
const APART = ["redis_cluster", "kafka4", "chromium", "pgbouncer", "pgpool"];

/** What the tests need, and the files that need it. */
const SERVICES = [
  {
    name: "redis",
    variable: "REDIS_URL",
    locate: redis.locate,
    files: /redis|^examples|^package\/lazy|^services/,
  },
  {
    name: "redis_cluster",
    variable: "REDIS_CLUSTER_URL",
    locate: redisCluster.locate,
    files: /redis\/cluster|^runtimes\/bundlers/,
  },
  {
    name: "postgres",
    variable: "POSTGRES_URL",
    locate: postgres.locate,
    files: /postgres|^examples\/orders/,
  },
  {
    name: "pgbouncer",
    variable: "PGBOUNCER_URL",
    locate: pgbouncer.locate,
    files: /postgres\/pooler|^cli\/pooler/,
  },
  {
    name: "pgpool",
    variable: "PGPOOL_URL",
    locate: pgpool.locate,
    files: /postgres\/pgpool/,
  },
  { name: "kafka", variable: "KAFKA_URL", locate: kafka.locate, files: /kafka/ },
  { name: "kafka4", variable: "KAFKA4_URL", locate: locateKafka4, files: /kafka/ },
  { name: "amqp", variable: "AMQP_URL", locate: amqp.locate, files: /amqp/ },
  { name: "mqtt", variable: "MQTT_URL", locate: mqtt.locate, files: /mqtt/ },
  { name: "nats", variable: "NATS_URL", locate: nats.locate, files: /nats/ },
  {
    name: "chromium",
    variable: "CHROMIUM_PATH",
    locate: chromium.locate,
    files: /^examples\/(?!custom)/,
  },
];

/** What needs no broker. */
const UNIT =
  /^(bench|chaos|core|docs|endurance)\/|^backends\/(memory|broadcast_channel)\/|^examples\/custom/;

/** What takes minutes: servers that die, other runtimes, the browser, losses that are made to happen. */
const REST: readonly RegExp[] = [
  /faults_test\.ts$/,
  /^losses\/(?!claims)/,
  /^examples\/(?!custom)/,
  /^cli\/pooler/,
  /^runtimes\/(bundle|cli|deno|documents|http|suite|typescript|websocket)/,
  /^frameworks\//,
  /^docs\/site/,
  /^package\/(floating|publish|publint)/,
  /^backends\/multi_process/,
  /^backends\/redis\/(cluster\/|sentinel|states|rights|pubsub\/loopback|permissions)/,
  /^backends\/postgres\/(permissions|pgpool|pooler|standby|tls|log\/pool_conformance)/,
  /^backends\/nats\/permissions/,
  /^backends\/kafka\/(second_line|access|connections|failover|passing_states|tls)/,
];

/** What installs hundreds of packages. */
const LONG = /^frameworks\/others|^runtimes\/bundlers/;

/** Topics that are run on both lines of Kafka: on the first one in `test`, on the second in `rest`. */
const BOTH_LINES = /^backends\/kafka\/(headers|pages|patterns|positions|resuming)_test/;

/** A run of `deno test`, or one of chaos if it has no files. */
interface Run {
  /** Paths below this folder. */
  readonly files: readonly string[];
  /** Whether the examples of the documentation are run as well. */
  readonly withDocs?: boolean;
  /** The services that it does without. */
  readonly without?: readonly string[];
  /** How many files at a time. Most of them wait for their broker most of the time. */
  readonly jobs: number;
}

/** How many tests, and steps of tests, there were. */
interface Counts {
  readonly passed: number;
  readonly failed: number;
}

/** What a run came to. */
interface Result extends Counts {
  /** What it said of the tests that failed. */
  readonly failures: readonly string[];
}

/** Which tests are run, and how often one that fails. */
interface Choice {
  /** What their names contain. */
  readonly filter?: string;
  readonly retry: string;
}

/** Tests that print nothing for so long hang, in milliseconds: they are ended, and those that ran are named. */
const SILENCE = 900_000;

/** A leak is a bug: these make one fail the test, and show where it began. */
const LEAKS = ["--sanitize-ops", "--sanitize-resources", "--trace-leaks"];

/** How many lines of a run's failures are shown again after all runs: the last of them are the names. */
const FAILURE_LINES = 60;

const REQUIRED = Boolean(Deno.env.get("REQUIRE_BROKERS"));

/** How many tests and steps passed and failed, by the summary of a run, if it got that far. */
export function count(output: string): Counts | undefined {
  const summary = stripVTControlCharacters(output).match(/^(ok|FAILED) \| .*$/gm)?.at(-1);
  return summary === undefined ? undefined : {
    passed: tally(summary, "passed"),
    failed: tally(summary, "failed"),
  };
}

/** What a run said of the tests that failed, or else its last lines, without more lines than are read. */
export function failuresIn(output: string): string[] {
  const lines = stripVTControlCharacters(output).trimEnd().split("\n");
  const start = lines.lastIndexOf(" ERRORS ");
  return lines.slice(Math.max(start, lines.length - FAILURE_LINES, 0));
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
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      set: { type: "string", default: "test" },
      filter: { type: "string" },
      jobs: { type: "string" },
      retry: { type: "string", default: "0" },
    },
  });
  // Tests that are interrupted leave their files behind, all of them in here.
  const scratch = await Deno.makeTempDir({ prefix: "broadcaster-" });
  await Deno.chmod(scratch, 0o711);
  Deno.env.set("TMPDIR", scratch);
  Deno.env.set("BROADCASTER_PORTS", join(scratch, "ports"));
  try {
    const runs = await runsOf(values.set, positionals);
    if (!runs) {
      print(
        `Cannot run tests: unknown set "${values.set}", known sets are test, rest, all, long, unit`,
      );
      return 2;
    }
    const results: Result[] = [];
    for (const run of runs) {
      const jobs = values.jobs === undefined ? run.jobs : Number(values.jobs);
      results.push(
        run.files.length > 0
          ? await perform({ ...run, jobs }, values, interrupt.signal)
          : await chaos(interrupt.signal),
      );
      if (interrupt.signal.aborted) return 130;
    }
    const passed = results.reduce((sum, result) => sum + result.passed, 0);
    const failed = results.reduce((sum, result) => sum + result.failed, 0);
    if (passed + failed === 0) print("No test ran");
    // The output of a run that is not the last is far above.
    for (const line of results.flatMap(({ failures }) => failures)) print(line);
    print(`${passed} passed, ${failed} failed`);
    return failed > 0 || passed === 0 ? 1 : 0;
  } finally {
    await Deno.remove(scratch, { recursive: true }).catch(() => {});
  }
}

/** What is run: the files that are named, or else those of a set. */
async function runsOf(set: string, named: readonly string[]): Promise<Run[] | undefined> {
  const all = await testsIn(TESTS);
  if (named.length > 0) {
    const paths = named.map((path) => relative(TESTS, join(Deno.cwd(), path)));
    const files = all.filter((file) =>
      paths.some((path) => file === path || file.startsWith(`${path}/`) || path === "")
    );
    return [{ files, jobs: 4 }];
  }
  const every = all.filter((file) => !LONG.test(file));
  const isRest = (file: string) => REST.some((pattern) => pattern.test(file));
  const unit: Run = { files: every.filter((file) => UNIT.test(file) && !isRest(file)), jobs: 2 };
  const test: Run = {
    files: every.filter((file) => !isRest(file)),
    withDocs: true,
    without: ["kafka4", "redis_cluster", "chromium"],
    jobs: 4,
  };
  const rest: Run[] = [
    {
      files: spread(every.filter((file) => isRest(file) && !/kafka\/second/.test(file))),
      jobs: 3,
      without: ["kafka4"],
    },
    {
      files: every.filter((file) => BOTH_LINES.test(file) || /kafka\/second/.test(file)),
      jobs: 3,
      without: ["kafka"],
    },
    { files: [], jobs: 1 },
  ];
  const long: Run = { files: all.filter((file) => LONG.test(file)), jobs: 1 };
  const sets = new Map([
    ["unit", [unit]],
    ["long", [long]],
    ["test", [test]],
    ["rest", rest],
    ["all", [test, ...rest]],
  ]);
  return sets.get(set);
}

/** Files of one folder far apart: three nodes of RabbitMQ that restart at once take minutes. */
function spread(files: readonly string[]): string[] {
  const folders = Object.values(
    Object.groupBy(files, (file) => file.split("/").slice(0, 2).join("/")),
  );
  const longest = Math.max(...folders.map((folder) => folder!.length));
  return Array.from(
    { length: longest },
    (_, index) => folders.flatMap((folder) => folder![index] ?? []),
  )
    .flat();
}

/** All files of tests, by their paths below this folder. */
async function testsIn(folder: string): Promise<string[]> {
  const files: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const path = join(folder, name);
    if (isDirectory) files.push(...await testsIn(path));
    else if (name.endsWith("_test.ts")) files.push(relative(TESTS, path).replaceAll("\\", "/"));
  }
  return files.sort();
}

/** Starts what the tests need, runs them, and ends what was started. */
async function perform(run: Run, choice: Choice, signal: AbortSignal): Promise<Result> {
  const needed = SERVICES.filter(({ name, files }) =>
    !run.without?.includes(name) &&
    run.files.some((file) => files.test(file) || SEVERAL.test(file) && !APART.includes(name))
  );
  const located = await Promise.all(needed.map(locate));
  try {
    if (signal.aborted) return { passed: 0, failed: 0, failures: [] };
    const env = Object.fromEntries(needed.map(({ name, variable }, index) => {
      const service = located[index]!;
      return "skip" in service
        ? [`BROADCASTER_SKIP_${name.toUpperCase()}`, service.skip]
        : [variable, service.url];
    }));
    for (const name of run.without ?? []) {
      env[`BROADCASTER_SKIP_${name.toUpperCase()}`] = "it has its turn in another part of test:all";
    }
    const { code, output } = await test(run, choice, env, signal);
    const missing = REQUIRED ? located.filter((service) => "skip" in service).length : 0;
    const counts = count(output);
    const { passed, failed } = counts ?? { passed: 0, failed: 0 };
    const failures = code === 0 ? [] : failuresIn(output);
    if (!counts) failures.push("The tests did not run to their end");
    if (missing) {
      failures.push(`REQUIRE_BROKERS is set, and ${missing} of the services are missing`);
    }
    // What fails outside of a test, such as a module that cannot be loaded, is a failure all the same.
    return { passed, failed: Math.max(failed, code === 0 ? 0 : 1) + missing, failures };
  } finally {
    await Promise.all(located.map((service) => "stop" in service && service.stop()));
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

/** Types are checked by `deno task check`. */
async function test(
  { files, withDocs, jobs }: Run,
  { filter, retry }: Choice,
  env: Record<string, string>,
  signal: AbortSignal,
) {
  const color = Deno.stdout.isTerminal() && !Deno.noColor;
  const limits = ["--preload", join(TESTS, "time_limit.ts"), "--retry", retry];
  const flags = ["-A", "--no-prompt", "--no-check", "--parallel", ...limits, ...LEAKS];
  const docs = withDocs ? ["--doc", "README.md", "docs", "mod.ts", "core", "backends", "cli"] : [];
  const command = [
    ...[...guard(), Deno.execPath(), "test", ...flags, ...await importMap()],
    ...filter === undefined ? [] : ["--filter", filter],
    ...[...docs, ...files.map((file) => join(TESTS, file))],
  ];
  const settings = { ...env, DENO_JOBS: `${jobs}`, ...color && { FORCE_COLOR: "1" } };
  return await show(command, settings, signal);
}

/** Runs a minute of chaos: two seeds on each of three schemes. */
async function chaos(signal: AbortSignal): Promise<Result> {
  const args = ["run", "-A", "--no-check", join(TESTS, "chaos", "run.ts"), "--suite", "all"];
  const { code, output } = await show([...guard(), Deno.execPath(), ...args], {}, signal);
  const [, passed = 0, failed = 1] = /^(\d+) passed, (\d+) failed$/m.exec(output) ?? [];
  return {
    passed: Number(passed),
    failed: Math.max(Number(failed), code),
    failures: code === 0 ? [] : failuresIn(output),
  };
}

/** Runs a command, and shows what it says. */
async function show(
  [command, ...args]: readonly string[],
  env: Record<string, string>,
  signal: AbortSignal,
): Promise<{ code: number; output: string }> {
  const child = new Deno.Command(command!, {
    args,
    cwd: PROJECT,
    env,
    stdin: "null",
    stdout: "piped",
    signal,
  }).spawn();
  const decoder = new TextDecoder();
  let output = "";
  const watchdog = setTimeout(() => {
    print(`Nothing was printed for ${SILENCE / 60_000} minutes`);
    child.kill("SIGINT");
    watchdog.refresh();
  }, SILENCE);
  for await (const chunk of child.stdout) {
    watchdog.refresh();
    output += decoder.decode(chunk, { stream: true });
    await Deno.stdout.write(chunk);
  }
  clearTimeout(watchdog);
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
  return success ? [] : ["--import-map", join(TESTS, "import_map.json")];
}

function tally(summary: string, word: string): number {
  const [, tests = 0, steps = 0] =
    summary.match(new RegExp(`(\\d+) ${word}(?: \\((\\d+) steps?\\))?`)) ?? [];
  return Number(tests) + Number(steps);
}

function print(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}
