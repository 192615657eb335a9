/**
 * The bench: what the rows need, and the races of all rows.
 *
 * @module
 */

import { availableParallelism, cpus, loadavg } from "node:os";
import { provide, RUNTIMES } from "../../runtimes/runtime.ts";
import { PROJECT } from "../../runtimes/tarball.ts";
import { Proxy } from "../../services/proxy.ts";
import { print } from "../report.ts";
import { rounds } from "../rounds.ts";
import { Worker } from "../runtime.ts";
import { type Broker, brokerOf, locate } from "./brokers.ts";
import { type Commands, Library, PEERS } from "./library.ts";
import {
  type Figures,
  ONLY,
  type Record,
  type Result,
  resultsOf,
  type Run,
  summaryOf,
} from "./record.ts";
import type { Contender, Row, Where } from "./rows.ts";
import { progress, show, showRow } from "./screen.ts";

/** How long a race may take, in milliseconds: some are of 10,000 messages, however long they take. */
const PATIENCE = 120_000;

/** Turns that warm a contender up do not grow beyond this. */
const WARMTH = 1_000;

/** Milliseconds from one cut to the next, how long each lasts, and what comes before and after all. */
const CUTS = { every: 700, last: 150, around: 500 };

/** What a race brought, or why it broke. */
interface Answer {
  readonly value?: number | Figures;
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
  readonly #brokers: ReadonlyMap<string, Broker>;
  readonly #stack: AsyncDisposableStack;

  private constructor(
    rows: readonly Row[],
    count: number,
    needs: {
      commands: Commands;
      library: Library;
      earlier: Library | undefined;
      brokers: ReadonlyMap<string, Broker>;
      stack: AsyncDisposableStack;
    },
  ) {
    this.#rows = rows;
    this.#rounds = count;
    this.#commands = needs.commands;
    this.#library = needs.library;
    this.#earlier = needs.earlier;
    this.#brokers = needs.brokers;
    this.#stack = needs.stack;
  }

  /** Installs the library and its peers, and finds the runtimes and the brokers. */
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
    const brokers = new Map<string, Broker>();
    for (const name of new Set(rows.flatMap((row) => brokerOf(row) ?? []))) {
      const broker = await locate(name);
      stack.defer(() => broker.stop());
      brokers.set(name, broker);
    }
    return new Bench(rows, count, { commands, library, earlier, brokers, stack: stack.move() });
  }

  /**
   * Races all rows, and prints each.
   *
   * @param keep Is called with what there is after each row.
   */
  async run(keep: (record: Record) => Promise<void>): Promise<Record> {
    const run = await this.#describe();
    for (const line of [run.machine, ...run.platforms]) print(line);
    print(run.peers.join(", "));
    print(`${run.rounds} rounds`);
    const results: Result[] = [];
    for (const [index, row] of this.#rows.entries()) {
      try {
        const brought = await this.#race(row, run.date, `${index + 1} of ${this.#rows.length}`);
        results.push(...brought);
        await keep({ runs: [run], results: brought });
        showRow(row, brought);
      } catch (error) {
        this.broken.push(`${row.name}: ${error instanceof Error ? error.message : error}`);
        print(`\n${this.broken.at(-1)}`);
      }
    }
    if (results.length > 0) show("Ours beside the best: median (least–most)", summaryOf(results));
    print(`\n${this.broken.length > 0 ? `Broken: ${this.broken.join("\n  ")}` : "No race broke"}`);
    return { runs: [run], results };
  }

  /** Ends what was started, and removes what was installed. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }

  async #race(row: Row, date: string, place: string): Promise<Result[]> {
    await using stack = new AsyncDisposableStack();
    const link = row.cuts ? stack.use(await Proxy.start(portOf(this.#url(row)!))) : undefined;
    const racers = this.#field(row, link).map(({ contender, command }): Racer => ({
      contender,
      worker: stack.use(new Worker(command)),
    }));
    const results: Result[] = [];
    for (const count of row.growth?.counts ?? [undefined]) {
      const present = racers.filter(({ contender: { most = Infinity } }) => (count ?? 0) <= most);
      const told = count === undefined ? place : `${place}, ${count.toLocaleString("en")}`;
      const figures = link
        ? await this.#cut(row, present, link, place)
        : await this.#takeTurns(row, present, told, count);
      const contenders = present.map(({ contender }) => contender);
      results.push(...resultsOf(row, date, contenders, figures, count));
    }
    progress("", "");
    return results;
  }

  /** Races with contenders that take turns. */
  async #takeTurns(row: Row, racers: readonly Racer[], place: string, count: number | undefined) {
    let turns = 0;
    return await rounds(this.#rounds, racers, async (racer) => {
      const round = Math.floor(turns++ / racers.length);
      this.#tell(row, place, round, racer.contender.name);
      const { milliseconds = 0, ...race } = row.race;
      const isWarmUp = round === 0;
      return await ask(racer, {
        ...race,
        milliseconds: milliseconds * (isWarmUp ? 2 : 1),
        ...count !== undefined && { count: isWarmUp ? Math.min(count, WARMTH) : count },
      });
    });
  }

  /** Races with all contenders at the same time, while their link is cut. Nothing here is a speed. */
  async #cut(row: Row, racers: readonly Racer[], link: Proxy, place: string): Promise<Figures[][]> {
    const all = racers.map((): Figures[] => []);
    const milliseconds = row.cuts! * (CUTS.every + CUTS.last) + 2 * CUTS.around;
    // Before the first round, all connect.
    await Promise.all(racers.map((racer) => ask(racer, { milliseconds: CUTS.around })));
    for (let round = 1; round <= this.#rounds; round++) {
      this.#tell(row, place, round, "all at once");
      const answers = Promise.all(racers.map((racer) => ask(racer, { milliseconds })));
      answers.catch(() => {});
      await pause(CUTS.around);
      for (let cuts = 0; cuts < row.cuts!; cuts++) {
        await pause(CUTS.every);
        link.refuse();
        link.cut();
        await pause(CUTS.last);
        await link.accept();
      }
      for (const [index, figures] of (await answers).entries()) all[index]!.push(figures);
    }
    return all;
  }

  #tell({ name }: Row, place: string, round: number, turn: string): void {
    progress(`${place}, ${name}: round ${round || "warm-up"} of ${this.#rounds}`, turn);
  }

  /** Who takes part, and how each is started. */
  #field(row: Row, link?: Proxy): { contender: Contender; command: string[] }[] {
    const url = this.#url(row);
    const options = { ...row.options, ...url && { url }, ...link && { link: link.url(url!) } };
    const told = { ...row, options };
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

  #url(row: Row): string | undefined {
    const broker = brokerOf(row);
    return broker === undefined ? undefined : this.#brokers.get(broker)!.url;
  }

  async #describe(): Promise<Run> {
    const runtimes = Object.entries(this.#commands).map(async ([where, command]) => {
      const version = (await outputOf(command, "--version"))?.replace(/^v|^deno | \(.*$/g, "");
      return `${where === "newest node" ? "node" : where} ${version ?? "?"}`;
    });
    const brokers = [...this.#brokers].map(([name, { version }]) => `${name} ${version}`);
    const [load] = loadavg();
    const model = `${availableParallelism()} cores, ${cpus()[0]?.model.trim() ?? "?"}`;
    return {
      date: new Date().toISOString(),
      commit: await outputOf("git", "-C", PROJECT, "rev-parse", "--short", "HEAD") ?? "unknown",
      machine: `${model}, load ${load!.toFixed(2)}`,
      platforms: [...await Promise.all(runtimes), ...brokers],
      peers: Object.entries(PEERS).map(([name, version]) => `${name} ${version}`),
      rounds: this.#rounds,
    };
  }
}

/** The figures of one turn. */
async function ask({ contender, worker }: Racer, race: Figures): Promise<Figures> {
  const { value, error } = JSON.parse(await answerOf(worker, JSON.stringify(race))) as Answer;
  if (typeof value === "number") return { [ONLY]: value };
  if (value) return value;
  throw new Error(`${contender.name}: ${error ?? "it brought no figure"}`);
}

function portOf(url: string): number {
  return Number(new URL(url).port || 6379);
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
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

/** The first line of what a command says, if there is one. */
async function outputOf(command: string, ...args: string[]): Promise<string | undefined> {
  const { success, stdout } = await new Deno.Command(command, { args, stderr: "null" }).output();
  return success ? new TextDecoder().decode(stdout).split("\n")[0] : undefined;
}
