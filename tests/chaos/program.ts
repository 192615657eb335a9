/** What the programs that run worlds have in common: their command line, their app on Node, their lines. */

import { dirname, join } from "node:path";
import config from "../../deno.json" with { type: "json" };
import { provide, RUNTIMES } from "../runtimes/runtime.ts";
import { Tarball } from "../runtimes/tarball.ts";
import { FILES, type NodeApp } from "./participant.ts";
import { type Kind, KINDS } from "./worlds.ts";

/** One of the runs that were asked for. */
export interface Job {
  readonly kind: Kind;
  readonly name: string;
  /** Resolves with whether all was as it must be, which it has printed. */
  readonly carryOut: (app: NodeApp) => Promise<boolean>;
}

/** A mistake in the command line. */
export class UsageError extends Error {}

/** Runs a program; ends with its exit code. */
export async function start(main: (args: string[]) => Promise<number>): Promise<never> {
  try {
    Deno.exit(await main(Deno.args));
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    print(error.message);
    Deno.exit(2);
  }
}

/** Carries out one job after the other; resolves with the exit code. */
export async function carryOutAll(jobs: readonly Job[]): Promise<number> {
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
      app = await install(jobs.map(({ kind }) => kind));
    } catch (error) {
      // Nothing is skipped: some of the processes are to run on Node.
      print(`Cannot run a process on Node: ${(error as Error).message}`);
      print(`0 passed, ${jobs.length} failed`);
      return 1;
    }
    for (const [index, { name, carryOut }] of jobs.entries()) {
      show(`${name} … (${index + 1} of ${jobs.length})`);
      if (!await carryOut(app)) failed++;
    }
    print(`${jobs.length - failed} passed, ${failed} failed`);
    return failed > 0 ? 1 : 0;
  } finally {
    await Deno.remove(scratch, { recursive: true }).catch(() => {});
  }
}

/** Reads a number of the command line. */
export function count(name: string, value: string): number {
  if (/^[1-9]\d{0,8}$/.test(value)) return Number(value);
  throw new UsageError(`Cannot read --${name}: it is "${value}", and no number from 1 on`);
}

/** The kind of a name. */
export function kindOf(name: string): Kind {
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
  const imports: Record<string, string> = config.scopes["./"];
  const clients = new Set(kinds.flatMap(({ clients }) => clients));
  await using tarball = await Tarball.pack();
  const app = await tarball.install(
    ...[...clients].map((name) => imports[name]!.replace(/^npm:/, "")),
  );
  for (const file of FILES) await app.add(join(import.meta.dirname!, "..", file), dirname(file));
  return { folder: app.folder, node: runtime.path };
}

/** Says what is going on, to who watches; the next line takes its place. */
function show(line: string): void {
  if (Deno.stdout.isTerminal()) Deno.stdout.writeSync(new TextEncoder().encode(`${line}\r`));
}

/** Prints lines. */
export function print(...lines: string[]): void {
  show(" ".repeat(60));
  Deno.stdout.writeSync(new TextEncoder().encode(lines.map((line) => `${line}\n`).join("")));
}
