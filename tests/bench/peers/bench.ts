/**
 * The bench: what the rows need, and the races of all rows.
 *
 * @module
 */

import { availableParallelism, cpus, loadavg } from "node:os";
import { provide, RUNTIMES } from "../../runtimes/runtime.ts";
import { PROJECT } from "../../runtimes/tarball.ts";
import * as redis from "../../services/redis.ts";
import type { Found } from "../../services/service.ts";
import { print } from "../report.ts";
import { rounds } from "../rounds.ts";
import { Worker } from "../runtime.ts";
import { type Commands, Library, PEERS } from "./library.ts";
import { type Record, type Result, summaryOf, tableOf } from "./record.ts";
import type { Contender, Row, Where } from "./rows.ts";
import { progress, show } from "./screen.ts";

/** How long a race may take, in milliseconds: some are of 10,000 messages, however long they take. */
const PATIENCE = 120_000;

/** What a race brought, or why it broke. */
interface Answer {
  readonly value?: number;
  readonly error?: string;
}

/** A contender that runs. */
interface Racer {
  readonly contender: Contender;
  readonly worker: Worker;
}

/** What is needed for the rows, and the rows. */
export class Bench implements AsyncDisposable {
  /** The rows that broke, and how. */
  readonly broken: string[] = [];
  readonly #rows: readonly Row[];
  readonly #rounds: number;
  readonly #commands: Commands;
  readonly #library: Library;
  readonly #earlier: Library | undefined;
  readonly #redis: Found | undefined;
  readonly #stack: AsyncDisposableStack;

  private constructor(
    rows: readonly Row[],
    count: number,
    needs: {
      commands: Commands;
      library: Library;
      earlier: Library | undefined;
      redis: Found | undefined;
      stack: AsyncDisposableStack;
    },
  ) {
    this.#rows = rows;
    this.#rounds = count;
    this.#commands = needs.commands;
    this.#library = needs.library;
    this.#earlier = needs.earlier;
    this.#redis = needs.redis;
    this.#stack = needs.stack;
  }

  /** Installs the library and its peers, and finds the runtimes and Redis. */
  static async prepare(rows: readonly Row[], count: number, before?: string): Promise<Bench> {
    await using stack = new AsyncDisposableStack();
    // What a run that is interrupted leaves behind lies in here.
    const scratch = await Deno.makeTempDir({ prefix: "broadcaster-peers-" });
    stack.defer(() => Deno.remove(scratch, { recursive: true }).catch(() => {}));
    Deno.env.set("TMPDIR", scratch);
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      Deno.addSignalListener(signal, () => {
        Deno.removeSync(scratch, { recursive: true });
        Deno.exit(130);
      });
    }
    print("Packing the library, and installing it with its peers");
    const commands = await runtimes(rows);
    const library = stack.use(await Library.install(PROJECT));
    const earlier = before === undefined ? undefined : stack.use(await Library.install(before));
    const needsRedis = rows.some(({ topic }) => topic === "redis");
    const located = needsRedis ? await redis.locate() : undefined;
    if (located && "skip" in located) throw new Error(`Cannot race on Redis: ${located.skip}`);
    if (located) stack.defer(() => located.stop());
    return new Bench(rows, count, {
      commands,
      library,
      earlier,
      redis: located,
      stack: stack.move(),
    });
  }

  /** Races all rows, and prints each. */
  async run(): Promise<Record> {
    const date = new Date().toISOString();
    const surroundings = await this.#surroundings();
    for (const line of surroundings) print(line);
    const results: Result[] = [];
    for (const [index, row] of this.#rows.entries()) {
      try {
        const result = await this.#race(row, `${index + 1} of ${this.#rows.length}`);
        results.push(result);
        show(`${row.name}: ${row.title}; ${row.unit}, ${row.where}`, tableOf(result));
      } catch (error) {
        this.broken.push(`${row.name}: ${error instanceof Error ? error.message : error}`);
        print(`\n${this.broken.at(-1)}`);
      }
    }
    if (results.length > 0) show("Ours beside the best: median (least–most)", summaryOf(results));
    print(`\n${this.broken.length > 0 ? `Broken: ${this.broken.join("\n  ")}` : "No race broke"}`);
    return { date, surroundings, results };
  }

  /** Ends what was started, and removes what was installed. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }

  async #race(row: Row, place: string): Promise<Result> {
    await using stack = new AsyncDisposableStack();
    const racers = this.#field(row).map(({ contender, command }): Racer => ({
      contender,
      worker: stack.use(new Worker(command)),
    }));
    let turns = 0;
    const all = await rounds(this.#rounds, racers, async ({ contender, worker }) => {
      const round = Math.floor(turns++ / racers.length) || "warm-up";
      progress(`${place}, ${row.name}: round ${round} of ${this.#rounds}`, contender.name);
      const { milliseconds = 0, ...race } = row.race;
      const warmth = round === "warm-up" ? 2 : 1;
      const question = JSON.stringify({ ...race, milliseconds: milliseconds * warmth });
      const answer = JSON.parse(await answerOf(worker, question)) as Answer;
      if (typeof answer.value === "number") return answer.value;
      throw new Error(`${contender.name}: ${answer.error ?? "it brought no figure"}`);
    });
    progress("", "");
    const { name, title, unit, fewer = false } = row;
    const contenders = racers.map(({ contender }, index) => ({
      ...contender,
      rounds: all[index]!,
    }));
    return { name, title, unit, fewer, contenders };
  }

  /** Who takes part, and how each is started. */
  #field(row: Row): { contender: Contender; command: string[] }[] {
    const url = this.#redis?.url;
    const told = url === undefined ? row : { ...row, options: { ...row.options, url } };
    const command = (library: Library, contender: Contender) =>
      library.command(contender, told, this.#commands);
    const field = row.contenders.map((contender) => ({
      contender,
      command: command(this.#library, contender),
    }));
    const earlier = this.#earlier;
    if (!earlier) return field;
    const ours = row.contenders[0]!;
    const before: Contender = { name: `${ours.name} before`, kind: "variant" };
    return [...field, { contender: before, command: command(earlier, ours) }];
  }

  async #surroundings(): Promise<string[]> {
    const versions = await Promise.all(
      Object.entries(this.#commands).map(async ([where, command]) =>
        `${where} ${await versionOf(command)}`
      ),
    );
    const [load] = loadavg();
    return [
      `${availableParallelism()} cores, ${cpus()[0]?.model ?? "?"}, load ${load!.toFixed(2)}`,
      versions.join(", "),
      Object.entries(PEERS).map(([name, version]) => `${name} ${version}`).join(", "),
      `${this.#rounds} rounds`,
    ];
  }
}

/** What a racer says, unless it hangs. */
async function answerOf(worker: Worker, question: string): Promise<string> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    reject(new Error(`Cannot finish a race: not done within ${PATIENCE / 1_000} s`));
  }, PATIENCE);
  try {
    return await Promise.race([worker.ask(question), promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** The runtimes that the rows need. The racers of event streams are on Node in any case. */
async function runtimes(rows: readonly Row[]): Promise<Commands> {
  const needed = new Set<Where>(["node", ...rows.map(({ where }) => where)]);
  const commands: Partial<globalThis.Record<Where, string>> = {};
  for (const where of needed) {
    commands[where] = where === "deno" ? Deno.execPath() : await path(where);
  }
  return commands;
}

async function path(where: Exclude<Where, "deno">): Promise<string> {
  const nodes = RUNTIMES.filter(({ command }) => command === "node");
  const runtime = where === "bun"
    ? RUNTIMES.find(({ command }) => command === "bun")
    : nodes.at(where === "node" ? 0 : -1);
  const provided = await provide(runtime!);
  if ("skip" in provided) throw new Error(`Cannot race on ${provided.name}: ${provided.skip}`);
  return provided.path;
}

async function versionOf(command: string): Promise<string> {
  const { stdout } = await new Deno.Command(command, { args: ["--version"] }).output();
  return new TextDecoder().decode(stdout).split("\n")[0]!;
}
