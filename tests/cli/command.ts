/** The terminal command in a process of its own, as a shell runs it. */

import { join } from "node:path";
import { guard } from "../services/server.ts";
import { until } from "../services/service.ts";

const TESTS = join(import.meta.dirname!, "..");

/** A program and its first arguments: what comes before those of the command. */
export type Program = readonly string[];

/** The command from its source, on Deno. */
export const SOURCE: Program = [
  ...[Deno.execPath(), "run", "-A", "--no-prompt", "--no-check", "--quiet"],
  ...["--import-map", join(TESTS, "import_map.json"), join(TESTS, "..", "cli", "mod.ts")],
];

/** What became of a command. */
export interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

/** How a command is run. */
export interface Surroundings {
  program?: Program;
  /** What it reads; by default nothing. */
  input?: string | Uint8Array<ArrayBuffer>;
  env?: Record<string, string>;
}

/** A command that runs. */
export class Running implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #output = { stdout: "", stderr: "" };
  readonly #read: Promise<unknown>;
  readonly #input: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;

  constructor(args: readonly string[], { program = SOURCE, env = {} }: Surroundings = {}) {
    const [command, ...rest] = [...guard(), ...program, ...args];
    const { FORCE_COLOR: _, NO_COLOR: __, BROADCASTER_URL: ___, ...surroundings } = Deno.env
      .toObject();
    this.#process = new Deno.Command(command!, {
      args: rest,
      env: { ...surroundings, DENO_NO_UPDATE_CHECK: "1", ...env },
      clearEnv: true,
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#input = this.#process.stdin.getWriter();
    this.#read = Promise.all([this.#consume("stdout"), this.#consume("stderr")]);
  }

  /** What it has written so far. */
  get stdout(): string {
    return this.#output.stdout;
  }

  /** What it has said so far. */
  get stderr(): string {
    return this.#output.stderr;
  }

  /** Resolves once it has written or said that. */
  async said(name: "stdout" | "stderr", text: string): Promise<void> {
    let isOver = false;
    this.#read.then(() => isOver = true);
    const isSaid = () => this.#output[name].includes(text);
    await until(() => isOver || isSaid(), `Cannot find ${JSON.stringify(text)} in ${name}`);
    if (!isSaid()) throw new Error(`it ended without ${text}: ${JSON.stringify(this.#output)}`);
  }

  /** Writes to its standard input. */
  async type(text: string | Uint8Array<ArrayBuffer>): Promise<void> {
    const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
    await this.#input.write(bytes).catch(() => {});
  }

  /** Closes its standard input. */
  async endInput(): Promise<void> {
    await this.#input.close().catch(() => {});
  }

  /** Sends it a signal. */
  kill(signal: Deno.Signal): void {
    this.#process.kill(signal);
  }

  /** Resolves once it has ended. The code is 128 and the number of the signal, as in a shell. */
  async ended(): Promise<Ended & { signal: Deno.Signal | null }> {
    const { code, signal } = await this.#process.status;
    await this.#read;
    await this.endInput();
    return { code, signal, ...this.#output };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#process.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await this.ended();
  }

  async #consume(name: "stdout" | "stderr"): Promise<void> {
    for await (const text of this.#process[name].pipeThrough(new TextDecoderStream())) {
      this.#output[name] += text;
    }
  }
}

/** Runs a command to its end. */
export async function broadcaster(
  args: readonly string[],
  surroundings: Surroundings = {},
): Promise<Ended> {
  await using running = new Running(args, surroundings);
  if (surroundings.input !== undefined) await running.type(surroundings.input);
  await running.endInput();
  const { code, stdout, stderr } = await running.ended();
  return { code, stdout, stderr };
}

/** A command as the text of a shell, perhaps before a pipe. */
export function shell(args: readonly string[], pipe = ""): string {
  const quoted = [...SOURCE, ...args].map((arg) => `'${arg.replaceAll("'", "'\\''")}'`);
  return `${quoted.join(" ")}${pipe && ` | ${pipe}`}`;
}
