/**
 * Chaos: publishers and subscribers on wires that fail, before servers that die, and a verdict.
 * `deno task test:chaos [scheme …] [--seed N] [--seeds N] [--seconds N] [--trace folder]`, or
 * `--suite all` and `--suite long`. The same scheme, seed and seconds give the same faults.
 */

import { join } from "node:path";
import { parseArgs } from "node:util";
import { chaos, type Verdict } from "./chaos.ts";
import type { NodeApp } from "./participant.ts";
import { describe } from "./plan.ts";
import { carryOutAll, count, type Job, kindOf, print, start, UsageError } from "./program.ts";
import { type Kind, KINDS } from "./worlds.ts";

/** How long faults last, unless it is said. */
const SECONDS = 20;

/** What belongs to a suite: the schemes, the number of seeds, and how long faults last. */
const SUITES = {
  all: { schemes: ["redis-stream", "postgres-stream", "nats"], seeds: 2, seconds: 8 },
  long: { schemes: KINDS.map(({ name }) => name), seeds: 10, seconds: SECONDS },
};

/** One of the runs that were asked for. */
interface Request {
  readonly kind: Kind;
  readonly seed: number;
  readonly seconds: number;
}

/** What was asked for. */
interface Asked {
  readonly requests: readonly Request[];
  /** Where the whole course of each run is written. */
  readonly trace?: string | undefined;
}

if (import.meta.main) await start((args) => carryOutAll(chaosOf(args)));

/** What a command line asks for. */
export function chaosOf(args: string[]): Job[] {
  const { requests, trace } = read(args);
  return requests.map((request) => ({
    kind: request.kind,
    name: `${request.kind.name} seed ${request.seed}`,
    carryOut: (app) => carryOut(request, app, trace),
  }));
}

/** Reads the command line. */
function read(args: string[]): Asked {
  const { values, positionals } = parse(args);
  if (values.suite !== undefined) {
    const suite = SUITES[values.suite as keyof typeof SUITES];
    if (!suite || positionals.length > 0) {
      throw new UsageError(`Cannot run suite "${values.suite}": say --suite all or --suite long`);
    }
    const requests = suite.schemes.flatMap((scheme) =>
      Array.from({ length: suite.seeds }, (_, index) => ({
        kind: kindOf(scheme),
        seed: index + 1,
        seconds: suite.seconds,
      }))
    );
    return { requests, trace: values.trace };
  }
  const seconds = count("seconds", values.seconds ?? `${SECONDS}`);
  const first = count("seed", values.seed ?? `${1 + Math.floor(Math.random() * 999_999)}`);
  const seeds = count("seeds", values.seeds ?? "1");
  const kinds = positionals.length > 0 ? positionals.map(kindOf) : KINDS;
  const requests = kinds.flatMap((kind) =>
    Array.from({ length: seeds }, (_, index) => ({ kind, seed: first + index, seconds }))
  );
  return { requests, trace: values.trace };
}

function parse(args: string[]) {
  const text = { type: "string" } as const;
  const options = { seed: text, seeds: text, seconds: text, suite: text, trace: text };
  try {
    return parseArgs({ args, options, allowPositionals: true });
  } catch (error) {
    throw new UsageError(`Cannot read the command line: ${(error as Error).message}`);
  }
}

async function carryOut(
  { kind, seed, seconds }: Request,
  app: NodeApp,
  trace: string | undefined,
): Promise<boolean> {
  const name = `${kind.name.padEnd(22)} seed ${`${seed}`.padEnd(6)}`;
  const again = `deno task test:chaos ${kind.name} --seed ${seed} --seconds ${seconds}`;
  const since = performance.now();
  let verdict: Verdict;
  try {
    verdict = await chaos(kind, seed, seconds, app);
  } catch (error) {
    print(`${name} FAILED: ${error instanceof Error ? error.stack : error}`, `  again: ${again}`);
    return false;
  }
  const { plan, counts, refused, delivered, gaps, granted, violations, settled } = verdict;
  const facts = [
    `${counts.confirmed} confirmed`,
    `${counts.unknown} unknown`,
    `${counts.rejected} rejected`,
    ...refused.count > 0 ? [`${refused.count} refused (${refused.reason})`] : [],
    `${delivered} delivered`,
    `${gaps} gaps`,
    ...granted > 0 ? [`${granted} lost: ${kind.forgets?.reason ?? "not granted"}`] : [],
    `settled in ${(settled / 1_000).toFixed(1)} s`,
    `${plan.onNode} on Node`,
    `${Math.round((performance.now() - since) / 1_000)} s`,
  ];
  if (trace !== undefined) {
    await Deno.mkdir(trace, { recursive: true });
    const path = join(trace, `${kind.name}-${seed}.log`);
    await Deno.writeTextFile(path, `${verdict.trace.join("\n")}\n`);
  }
  print(`${name} ${violations.length === 0 ? "ok" : "FAILED"}: ${facts.join(", ")}`);
  if (violations.length === 0) return true;
  print(...violations.map(({ kind, what }) => `  ${kind}: ${what}`));
  print(`  parameters: ${new URLSearchParams(plan.parameters)}`);
  print("  what was done:", ...describe(plan).map((line) => `  ${line}`));
  print(`  again: ${again}`);
  return false;
}
