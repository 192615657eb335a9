/**
 * The library as its users have it: packed and installed in an app of its own, beside its peers; on
 * Deno its source.
 *
 * @module
 */

import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { App } from "../../runtimes/app.ts";
import { succeed } from "../../runtimes/process.ts";
import type { Contender, Row, Where } from "./rows.ts";

/** What is installed for the bench alone, and nowhere else. */
export const PEERS: Readonly<Record<string, string>> = {
  "@nats-io/transport-node": "3.4.0",
  "@orpc/client": "1.14.7",
  "@orpc/experimental-publisher": "1.14.7",
  "@socket.io/redis-streams-adapter": "0.3.1",
  "better-sse": "0.16.1",
  "graphql": "16.15.0",
  "graphql-redis-subscriptions": "2.7.0",
  "graphql-subscriptions": "3.0.0",
  "graphql-yoga": "5.24.1",
  "ioredis": "6.0.0",
  "postgres": "3.4.9",
  "socket.io": "4.8.4",
  "socket.io-client": "4.8.4",
  "ws": "8.23.0",
};

/** The programs and what they import; they run in the app, or from here. */
const FILES = [
  "broker",
  "cuts",
  "event_stream_server",
  "event_streams",
  "growth",
  "in_process",
  "nats",
  "pace",
  "postgres",
  "program",
  "racer",
  "redis",
  "starts",
  "tally",
  "weights",
];

/** The library of one folder, that can be raced against that of another. */
export class Library implements AsyncDisposable {
  readonly #app: App;
  readonly #importMap: string;

  private constructor(app: App) {
    this.#app = app;
    this.#importMap = join(app.folder, "import_map.json");
  }

  /**
   * Packs and installs the library of a folder, as it is.
   *
   * @param project The folder.
   */
  static async install(project: string): Promise<Library> {
    const library = new Library(await App.create());
    try {
      await library.#fill(project);
    } catch (error) {
      await library[Symbol.asyncDispose]();
      throw error;
    }
    return library;
  }

  /** The command of a contender. */
  command(contender: Contender, row: Row, commands: Commands): string[] {
    const { where, topic, program, options } = row;
    const racer = this.#run("node", commands, "racer.mjs");
    const told: Record<string, unknown> = { ...options };
    if (program === "event_stream_server") {
      told.server = [...this.#run(where, commands, `${program}.mjs`, contender), contender.name];
    } else if (program) {
      told.program = this.#run(where, commands, `${program}.mjs`, contender);
    } else {
      racer.splice(0, Infinity, ...this.#run(where, commands, "racer.mjs", contender));
    }
    return [...racer, topic, contender.name, JSON.stringify(told)];
  }

  /** Removes it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#app[Symbol.asyncDispose]();
  }

  async #fill(project: string): Promise<void> {
    const tarball = join(this.#app.folder, "package.tgz");
    const pack = ["task", "pack", "--allow-dirty", "--output", tarball];
    await succeed(Deno.execPath(), pack, { cwd: project });
    const peers = Object.entries(PEERS).map(([name, version]) => `${name}@${version}`);
    await this.#app.install(tarball, ...peers);
    for (const file of FILES) await this.#app.add(join(import.meta.dirname!, `${file}.mjs`));
    await Deno.writeTextFile(this.#importMap, JSON.stringify(await importMap(project)));
  }

  #run(where: Where, commands: Commands, file: string, contender?: Contender): string[] {
    const installed = join(this.#app.folder, file);
    if (where === "bun") return [commands.bun!, installed];
    if (where !== "deno") return [commands[where]!, "--expose-gc", installed];
    const deno = [commands.deno!, "run", "-A", "--no-lock", "--v8-flags=--expose-gc"];
    // The peers come from the app, whose packages Deno can read.
    if (contender?.kind === "peer") return [...deno, installed];
    const source = join(import.meta.dirname!, file);
    return [...deno, "--no-config", "--import-map", this.#importMap, source];
  }
}

/** The paths of the runtimes that are there. */
export type Commands = Readonly<Partial<Record<Where, string>>>;

/** By its public name, the source of a folder, whichever folder imports it. */
async function importMap(project: string): Promise<{ imports: Record<string, string> }> {
  const { name, exports, imports, scopes } = JSON.parse(
    await Deno.readTextFile(join(project, "deno.json")),
  ) as { name: string } & Record<"exports" | "imports", Record<string, string>> & {
    scopes?: Record<string, Record<string, string>>;
  };
  const entries = Object.entries(exports).map(([subpath, file]) => [
    join(name, subpath),
    pathToFileURL(join(project, file)).href,
  ]);
  return { imports: { ...imports, ...scopes?.["./"], ...Object.fromEntries(entries) } };
}
