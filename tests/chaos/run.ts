/**
 * Chaos: publishers and subscribers on wires that fail, before servers that die, and a verdict.
 * `deno task test:chaos [scheme …] [--seed N] [--seeds N] [--seconds N] [--trace folder]`, or
 * `--suite all` and `--suite long`. The same scheme, seed and seconds give the same faults.
 */

import { join } from "node:path";
import { parseArgs } from "node:util";
import config from "../../deno.json" with { type: "json" };
import { provide, RUNTIMES } from "../runtimes/runtime.ts";
import { Tarball } from "../runtimes/tarball.ts";
import { chaos, type Verdict } from "./chaos.ts";
import { FILES, type NodeApp } from "./participant.ts";
import { describe } from "./plan.ts";
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

/** A mistake in the command line. */
class UsageError extends Error {}

if (import.meta.main) {
  try {
    Deno.exit(await main(Deno.args));
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    print(error.message);
    Deno.exit(2);
  }
}

async function main(args: string[]): Promise<number> {
  const { requests, trace } = read(args);
  const scratch = await Deno.makeTempDir({ prefix: "chaos-" });
  await Deno.chmod(scratch, 0o711);
  // Runs that are interrupted leave their files behind, all of them in here.
  Deno.env.set("TMPDIR", scratch);
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => {
      // What was started dies with this process, and may write until then.
      try {
        Deno.removeSync(scratch, { recursive: true });
      } finally {
        Deno.exit(130);
      }
    });
  }
  try {
    let failed = 0;
    let app: NodeApp;
    try {
      show("packing for Node …");
      app = await install(requests.map(({ kind }) => kind));
    } catch (error) {
      // Nothing is skipped: one of the three processes is to run on Node.
      print(`Cannot run a process on Node: ${(error as Error).message}`);
      print(`0 passed, ${requests.length} failed`);
      return 1;
    }
    for (const [index, request] of requests.entries()) {
      show(`${request.kind.name} seed ${request.seed} … (${index + 1} of ${requests.length})`);
      if (!await carryOut(request, app, trace)) failed++;
    }
    print(`${requests.length - failed} passed, ${failed} failed`);
    return failed > 0 ? 1 : 0;
  } finally {
    await Deno.remove(scratch, { recursive: true }).catch(() => {});
  }
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

function count(name: string, value: string): number {
  if (/^[1-9]\d{0,8}$/.test(value)) return Number(value);
  throw new UsageError(`Cannot read --${name}: it is "${value}", and no number from 1 on`);
}

function kindOf(name: string): Kind {
  const kind = KINDS.find((kind) => kind.name === name);
  if (kind) return kind;
  const names = KINDS.map(({ name }) => name).join(", ");
  throw new UsageError(`Cannot run "${name}": it is none of ${names}`);
}

/** An app that has the package as npm gets it, with all clients that are needed. */
async function install(kinds: readonly Kind[]): Promise<NodeApp> {
  const [oldest] = RUNTIMES;
  const runtime = await provide(oldest!);
  if ("skip" in runtime) throw new Error(`${runtime.name} is missing: ${runtime.skip}`);
  const imports: Record<string, string> = config.imports;
  const clients = new Set(kinds.flatMap(({ clients }) => clients));
  await using tarball = await Tarball.pack();
  const app = await tarball.install(
    ...[...clients].map((name) => imports[name]!.replace(/^npm:/, "")),
  );
  for (const file of FILES) await app.add(file);
  return { folder: app.folder, node: runtime.path };
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

/** Says what is going on, to who watches; the next line takes its place. */
function show(line: string): void {
  if (Deno.stdout.isTerminal()) Deno.stdout.writeSync(new TextEncoder().encode(`${line}\r`));
}

function print(...lines: string[]): void {
  show(" ".repeat(60));
  Deno.stdout.writeSync(new TextEncoder().encode(lines.map((line) => `${line}\n`).join("")));
}
