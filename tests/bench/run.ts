/**
 * Every number of the README, side by side in one run: `deno task bench [group …]`, with the groups
 * `memory`, `redis`, `postgres`, `kafka`, `amqp`, and `logs`: the past of each of those that are named, or
 * of all. Fails if a target is missed by more than the spread.
 */

import * as amqpService from "../services/amqp.ts";
import * as kafkaService from "../services/kafka.ts";
import * as postgresService from "../services/postgres.ts";
import * as redisService from "../services/redis.ts";
import { find, type Located } from "../services/service.ts";
import { fanOut } from "./fan_out.ts";
import { kafka } from "./kafka.ts";
import { amqpLog, kafkaLog, memoryLog, postgresLog, redisLog } from "./log_runs.ts";
import { logs, type LogUnderTest } from "./logs.ts";
import { postgres } from "./postgres.ts";
import { redis } from "./redis.ts";
import { lines, print, type Report, verdictLines } from "./report.ts";
import { deno, node, output } from "./runtime.ts";

/** What needs a broker, measured while no other broker runs that was started for it. */
const BROKERS = {
  redis: { locate: redisService.locate, measure: redis, log: redisLog },
  postgres: { locate: postgresService.locate, measure: postgres, log: postgresLog },
  kafka: { locate: locateKafka, measure: kafka, log: kafkaLog },
  amqp: { locate: amqpService.locate, measure: undefined, log: amqpLog },
};

const reports: Report[] = [];

if (import.meta.main) Deno.exit(await main());

async function main(): Promise<number> {
  const scratch = await Deno.makeTempDir({ prefix: "broadcaster-bench-" });
  await Deno.chmod(scratch, 0o711);
  Deno.env.set("TMPDIR", scratch);
  const groups = ["memory", ...Object.keys(BROKERS)];
  const wanted = new Set(Deno.args.length > 0 ? Deno.args : [...groups, "logs"]);
  if (wanted.size === 1 && wanted.has("logs")) {
    for (const group of groups) wanted.add(`${group} log`);
  } else if (wanted.has("logs")) { for (const group of [...wanted]) wanted.add(`${group} log`); }
  try {
    if (wanted.has("memory")) await inProcess(scratch);
    if (wanted.has("memory log")) await past(memoryLog);
    for (const [name, { locate, measure, log }] of Object.entries(BROKERS)) {
      if (!wanted.has(name) && !wanted.has(`${name} log`)) continue;
      await withBroker(name, await locate(), async (url) => {
        if (wanted.has(name) && measure) show(await measure(url));
        if (wanted.has(`${name} log`)) await past(log(url));
      });
    }
  } finally {
    await Deno.remove(scratch, { recursive: true }).catch(() => {});
  }
  for (const line of verdictLines(reports)) print(line);
  const missed = reports.flatMap(({ verdicts }) => verdicts)
    .filter(({ outcome }) => outcome === "missed").length;
  print(missed > 0 ? `${missed} targets missed` : "No target missed by more than the spread");
  return missed > 0 ? 1 : 0;
}

/** What needs no broker, on Deno and on Node 20. */
async function inProcess(scratch: string): Promise<void> {
  for (const runtime of [deno, await node(scratch)]) {
    if ("skip" in runtime) {
      skip("Node 20", runtime.skip);
      continue;
    }
    show(await fanOut(runtime));
    for (const report of JSON.parse(await output(runtime, "in_process.ts")) as Report[]) {
      show(report);
    }
  }
}

async function withBroker(
  name: string,
  located: Located,
  measure: (url: string) => Promise<void>,
): Promise<void> {
  if ("skip" in located) return skip(name, located.skip);
  try {
    await measure(located.url);
  } finally {
    await located.stop();
  }
}

async function past(log: LogUnderTest): Promise<void> {
  for await (const report of logs(log)) show(report);
}

/** With the delay before a group's first balance that brokers have by default. */
function locateKafka(): Promise<Located> {
  return find({
    variable: "KAFKA_URL",
    version: kafkaService.VERSION,
    usual: () => Promise.resolve(undefined),
    start: () => kafkaService.start({ properties: { "group.initial.rebalance.delay.ms": "3000" } }),
  });
}

function show(report: Report): void {
  reports.push(report);
  for (const line of lines(report)) print(line);
}

function skip(name: string, reason: string): void {
  print(`\n${name}: skipped, ${reason}`);
  const verdict = { target: name, measured: reason, outcome: "skipped" as const };
  reports.push({ title: name, rows: [], verdicts: [verdict] });
}
