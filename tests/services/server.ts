import { join } from "node:path";
import { until } from "./service.ts";

/** How a server is run. */
export interface ServerOptions {
  /** What it is called in errors. */
  name: string;
  url: string;
  port: number;
  /** Its own folder: its data lie in it, it is its working directory, and it goes with it. */
  directory: string;
  command: string;
  args: string[];
  /** Whom it runs as. */
  user?: { uid: number; gid: number } | undefined;
  /** The signal that ends it in good order. */
  signal?: Deno.Signal;
  /** Whether it serves real requests. */
  answers(): Promise<boolean>;
}

/** A server of a test's own: it can be killed and started again on the same port and data. */
export class Server implements AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /** Its own folder, with its data. */
  readonly directory: string;
  /** The path of its program. */
  readonly command: string;
  #options: ServerOptions;
  #process: Deno.ChildProcess | undefined;

  private constructor(options: ServerOptions) {
    this.url = options.url;
    this.port = options.port;
    this.directory = options.directory;
    this.command = options.command;
    this.#options = options;
  }

  /** Whether it was started, and not stopped since. */
  get isRunning(): boolean {
    return this.#process !== undefined;
  }

  /** Starts a server; resolves once it serves. */
  static async start(options: ServerOptions): Promise<Server> {
    const server = new Server(options);
    try {
      await server.restart();
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
    return server;
  }

  /** Starts it again, on the same port and with the same data; resolves once it serves. */
  async restart(): Promise<void> {
    await this.stop();
    const { name, directory, user, answers } = this.#options;
    const { command, args } = this.#options;
    const process = new Deno.Command("sh", {
      // The shell gives the log a file and makes way for the server, which so has the pid.
      args: ["-c", 'exec "$@" >>server.log 2>&1', "sh", ...guard(), command, ...args],
      cwd: directory,
      stdin: "null",
      ...user,
    }).spawn();
    this.#process = process;
    let ended = false;
    process.status.then(() => ended = true);
    try {
      await until(async () => ended || await answers(), `Cannot start ${name}`, 60_000);
      if (ended) throw new Error(`Cannot start ${name}: it ended`);
    } catch (error) {
      throw new Error(`${(error as Error).message}: ${await this.#lastWords()}`, { cause: error });
    }
  }

  /** Ends it, with `SIGKILL` without any notice; resolves once all its processes are gone. */
  async stop(signal: Deno.Signal = this.#options.signal ?? "SIGTERM"): Promise<void> {
    const process = this.#process;
    if (!process) return;
    this.#process = undefined;
    const { name } = this.#options;
    const children = await childrenOf(process.pid);
    kill(process.pid, signal);
    // A server that dies leaves its children to find out; one that was killed must not serve on.
    if (signal === "SIGKILL") children.forEach((pid) => kill(pid, signal));
    const patience = setTimeout(() => kill(process.pid, "SIGKILL"), 20_000);
    await process.status;
    clearTimeout(patience);
    await until(() => children.every(isGone), `Cannot stop ${name}: its children live on`);
  }

  /** Ends it in good order, so that nothing of it stays in memory, and removes its data. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await Deno.remove(this.#options.directory, { recursive: true });
  }

  async #lastWords(): Promise<string> {
    const log = await Deno.readTextFile(join(this.#options.directory, "server.log"));
    return log.trim().split("\n").slice(-5).join("\n");
  }
}

/** What to put before a command so that it dies with this process, however this one ends. */
export function guard(): string[] {
  return Deno.build.os === "linux" ? ["setpriv", "--pdeathsig", "KILL", "--"] : [];
}

async function childrenOf(pid: number): Promise<number[]> {
  try {
    const children = await Deno.readTextFile(`/proc/${pid}/task/${pid}/children`);
    return children.split(" ").filter(Boolean).map(Number);
  } catch {
    return []; // no such list on this system
  }
}

function kill(pid: number, signal: Deno.Signal): void {
  try {
    Deno.kill(pid, signal);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

function isGone(pid: number): boolean {
  try {
    return Deno.readTextFileSync(`/proc/${pid}/stat`).includes(") Z ");
  } catch {
    return true;
  }
}
