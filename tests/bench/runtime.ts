/**
 * The runtimes that are compared on: this Deno, and Node 20 with the same files
 * bundled.
 *
 * @module
 */

import { join } from "node:path";
import { run } from "../services/debian.ts";
import { guard } from "../services/server.ts";

/** Where a module of this folder can run. */
export interface Runtime {
  /** Its name and version. */
  readonly name: string;
  /** How many times the speed of native `tee()` is promised on it. */
  readonly limit: number;
  /** The command that runs a module of this folder, `racer.ts` say. */
  command(module: string): Promise<string[]>;
}

/** The Deno that runs this. */
export const deno: Runtime = {
  name: `Deno ${Deno.version.deno}`,
  limit: 3,
  command(module) {
    const path = join(import.meta.dirname!, module);
    return Promise.resolve([Deno.execPath(), "run", "-A", "--v8-flags=--expose-gc", path]);
  },
};

/**
 * Node 20, of the variable `NODE_20` or else of the path.
 *
 * @param folder Where the bundles go.
 * @returns Why it is skipped, if it is.
 */
export async function node(folder: string): Promise<Runtime | { skip: string }> {
  const path = Deno.env.get("NODE_20") ?? "node";
  const version = await run(path, ["--version"]).catch(() => undefined);
  if (!version?.startsWith("v20.")) {
    return {
      skip: `there is ${version ? `Node ${version} here` : "no Node here"}, not 20: NODE_20`,
    };
  }
  return {
    name: `Node ${version.slice(1)}`,
    limit: 12,
    async command(module) {
      const bundle = join(folder, module.replace(/\.ts$/, ".mjs"));
      const source = join(import.meta.dirname!, module);
      await run(Deno.execPath(), ["bundle", "--platform", "node", "-o", bundle, source]);
      return [path, "--expose-gc", bundle];
    },
  };
}

/** Runs a module to its end, and returns what it printed. */
export async function output(runtime: Runtime, module: string): Promise<string> {
  const [command, ...args] = [...guard(), ...await runtime.command(module)];
  const { success, stdout } = await new Deno.Command(command!, {
    args,
    stdin: "null",
    stderr: "inherit",
  }).output();
  if (!success) throw new Error(`Cannot run ${module} on ${runtime.name}`);
  return new TextDecoder().decode(stdout);
}

/** A module that answers each line it is sent with a line. */
export class Worker implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<string>;
  readonly #reader: ReadableStreamDefaultReader<string>;

  /** @param line The command, with its arguments. */
  constructor(line: readonly string[]) {
    const [command, ...args] = [...guard(), ...line];
    this.#process = new Deno.Command(command!, { args, stdin: "piped", stdout: "piped" }).spawn();
    const encoder = new TextEncoderStream();
    void encoder.readable.pipeTo(this.#process.stdin).catch(() => {});
    this.#writer = encoder.writable.getWriter();
    this.#reader = this.#process.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  /** Sends a line, and resolves with the one that it is answered with. */
  async ask(question: string): Promise<string> {
    await this.#writer.write(`${question}\n`);
    let answer = "";
    while (!answer.endsWith("\n")) {
      const { done, value } = await this.#reader.read();
      if (done) throw new Error(`Cannot ask ${question}: the process ended`);
      answer += value;
    }
    return answer.trim();
  }

  /** Ends it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer.close();
    await this.#reader.cancel();
    await this.#process.status;
  }
}
