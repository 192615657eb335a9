/**
 * Endurance: a storm of subscriptions when a broker returns, and a soak of opening and closing.
 * `deno task test:storm [scheme …] [--channels N] [--on deno|node]`, and
 * `deno task test:soak [scheme …] [--seconds N] [--on deno|node]`. Each runs on Deno and on Node.
 */

import { parseArgs } from "node:util";
import type { NodeApp } from "../chaos/participant.ts";
import {
  carryOutAll,
  count,
  type Job,
  kindOf,
  print,
  start,
  UsageError,
} from "../chaos/program.ts";
import type { Kind } from "../chaos/worlds.ts";
import { type Soak, soak } from "./soak.ts";
import { type Storm, storm } from "./storm.ts";
import { judgeSoak, judgeStorm, median } from "./verdict.ts";

/** Each scheme, as one server has it. */
const SCHEMES = [
  ...["redis", "redis-stream", "postgres", "postgres-stream", "nats", "nats-stream"],
  ...["amqp", "amqp-stream", "mqtt", "kafka"],
];
/** How many channels a storm has: brokers take long to make that many topics and streams. */
const CHANNELS = 1_000;
const FEW: Readonly<Record<string, number>> = { "amqp-stream": 50, "kafka": 100 };
/** How long a soak takes, in seconds. */
const SECONDS = 600;

const RUNTIMES = ["deno", "node"] as const;

if (import.meta.main) await start((args) => carryOutAll(enduranceOf(args)));

/** What a command line asks for. */
export function enduranceOf([program, ...args]: string[]): Job[] {
  const { values, positionals } = parse(args);
  const runtimes = RUNTIMES.filter((name) => (values.on ?? name) === name);
  if (runtimes.length === 0) throw new UsageError(`Cannot run on "${values.on}": deno or node`);
  const kinds = (positionals.length > 0 ? positionals : SCHEMES).map(kindOf);
  const carryOut = programOf(program, values);
  return kinds.flatMap((kind) =>
    runtimes.map((runtime): Job => {
      const name = `${program} ${kind.name} on ${runtime}`;
      return {
        kind,
        name,
        carryOut: (app) => report(name, () => carryOut(kind, runtime === "node" ? app : undefined)),
      };
    })
  );
}

function parse(args: string[]) {
  const text = { type: "string" } as const;
  const options = { channels: text, seconds: text, on: text };
  try {
    return parseArgs({ args, options, allowPositionals: true });
  } catch (error) {
    throw new UsageError(`Cannot read the command line: ${(error as Error).message}`);
  }
}

type Program = (kind: Kind, app?: NodeApp) => Promise<{ facts: string; wrong: string[] }>;

function programOf(
  program: string | undefined,
  { channels, seconds }: { channels?: string; seconds?: string },
): Program {
  switch (program) {
    case "storm":
      return async (kind, app) => {
        const many = count("channels", channels ?? `${FEW[kind.name] ?? CHANNELS}`);
        const result = await storm(kind, many, app);
        const facts = `${many} channels, ${describeStorm(result)}`;
        return { facts, wrong: judgeStorm(result.ours, result.bare) };
      };
    case "soak":
      return async (kind, app) => {
        const result = await soak(kind, count("seconds", seconds ?? `${SECONDS}`), app);
        return { facts: describeSoak(result), wrong: judgeSoak(result.begin, result.end) };
      };
    default:
      throw new UsageError(`Cannot run "${program}": it is neither storm nor soak`);
  }
}

async function report(name: string, carryOut: () => ReturnType<Program>): Promise<boolean> {
  let wrong: string[];
  let facts = "it did not end";
  try {
    ({ facts, wrong } = await carryOut());
  } catch (error) {
    wrong = [error instanceof Error ? error.stack ?? error.message : String(error)];
  }
  const load = Deno.loadavg()[0]!.toFixed(1);
  const verdict = wrong.length === 0 ? "ok" : "FAILED";
  print(`${name.padEnd(32)} ${verdict}: ${facts}, load ${load}`, ...wrong.map((it) => `  ${it}`));
  return wrong.length === 0;
}

function describeStorm({ ours, bare }: Storm): string {
  const all = (rounds: Storm["ours"], what: "live" | "computed" | "wall") =>
    rounds.map((round) => Math.round(round[what])).join(" ");
  return `live after ${median(ours)} ms (${all(ours, "live")}), ` +
    `bare ${median(bare)} ms (${all(bare, "live")}), ` +
    `blocked for ${all(ours, "computed")} ms (by the clock ${all(ours, "wall")}), ` +
    `bare ${all(bare, "computed")} ms`;
}

function describeSoak({ begin, end, counts }: Soak): string {
  const megabytes = (bytes: number) => (bytes / 2 ** 20).toFixed(2);
  const change = (name: string, before: number, after: number) =>
    before === after ? `${name} ${after}` : `${name} ${before} → ${after}`;
  return [
    `${counts.opened} opened, ${counts.unopened} not opened, ${counts.heard} heard`,
    `heap ${megabytes(begin.heap)} → ${megabytes(end.heap)} MiB`,
    ...(["sockets", "timers", "listeners"] as const)
      .map((name) => change(name, begin[name], end[name])),
    ...Object.entries(begin.broker)
      .map(([name, count]) => change(`broker's ${name}`, count, end.broker[name]!)),
  ].join(", ");
}
