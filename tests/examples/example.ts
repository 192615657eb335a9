import { join } from "node:path";
import { text as consume } from "node:stream/consumers";
import type { Browser, Page } from "npm:playwright-core@1.64.1";
import { launch } from "../services/chromium.ts";
import { freePort, until } from "../services/service.ts";

const PATIENCE = 60_000;
const ROOT = join(import.meta.dirname!, "../..");

/** Defines a test that needs a browser, and perhaps a broker; without them it is skipped, with the reason. */
export function test(
  name: string,
  fn: () => Promise<void>,
  needed: "redis" | "postgres" | undefined = undefined,
) {
  const broker = needed?.toUpperCase();
  const skip = Deno.env.get("BROADCASTER_SKIP_CHROMIUM") ??
    (broker && (Deno.env.get(`BROADCASTER_SKIP_${broker}`) ?? missing(`${broker}_URL`)));
  Deno.test({ name: skip ? `${name} (skipped: ${skip})` : name, ignore: skip !== undefined, fn });
}

function missing(variable: string): string | undefined {
  return Deno.env.has(variable) ? undefined : `${variable} is not set`;
}

/** An example in a process of its own, which can be killed and started again on the same port. */
export class Example implements AsyncDisposable {
  readonly #file: string;
  readonly #args: string[];
  readonly #port = freePort();
  #process: Deno.ChildProcess | undefined;
  #output: Promise<[stdout: string, stderr: string]> = Promise.resolve(["", ""]);

  private constructor(file: string, args: string[]) {
    this.#file = file;
    this.#args = args;
  }

  /** Starts an example; resolves once it serves. */
  static async start(file: string, ...args: string[]): Promise<Example> {
    const example = new Example(file, args);
    await example.start();
    return example;
  }

  /** Where its page is. */
  get url(): string {
    const host = this.#args.some((arg) => /^\[?::1\]?$/.test(arg)) ? "[::1]" : "localhost";
    return `http://${host}:${this.#port}/`;
  }

  /** Starts it, again; resolves once it serves. */
  async start(): Promise<void> {
    const process = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-prompt", this.#file, ...this.#args, "--port", `${this.#port}`],
      cwd: ROOT,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#process = process;
    this.#output = Promise.all([consume(process.stdout), consume(process.stderr)]);
    let ended = false;
    process.status.then(() => ended = true);
    await until(async () => ended || await this.#answers(), `Cannot start ${this.#file}`);
    if (ended) throw new Error(`Cannot start ${this.#file}: ${(await this.#output).join("")}`);
  }

  /**
   * Ends it.
   *
   * @throws {Error} If it reported an error of its own.
   */
  async stop(signal: Deno.Signal = "SIGTERM"): Promise<{ code: number; output: string }> {
    const process = this.#process!;
    this.#process = undefined;
    process.kill(signal);
    const { code } = await process.status;
    const [output, errors] = await this.#output;
    if (/error/i.test(errors)) throw new Error(`${this.#file} failed: ${errors}`);
    return { code, output };
  }

  /** Kills it, if it runs. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process) await this.stop("SIGKILL");
  }

  async #answers(): Promise<boolean> {
    try {
      const response = await fetch(this.url, { headers: { connection: "close" } });
      await response.body?.cancel();
      return response.ok;
    } catch {
      return false;
    }
  }
}

/** Runs an example that ends by itself. */
export async function run(
  file: string,
  ...args: string[]
): Promise<{ code: number; stderr: string }> {
  const command = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-prompt", file, ...args],
    cwd: ROOT,
    stdin: "null",
    signal: AbortSignal.timeout(PATIENCE),
  });
  const { code, stderr } = await command.output();
  return { code, stderr: new TextDecoder().decode(stderr) };
}

/** A browser whose pages each have a context of their own: nothing is shared but the server. */
export class Visitors implements AsyncDisposable {
  readonly #browser: Browser;
  /** What went wrong in the pages. */
  readonly errors: Error[] = [];

  private constructor(browser: Browser) {
    this.#browser = browser;
  }

  /** Starts the browser. */
  static async start(): Promise<Visitors> {
    return new Visitors(await launch());
  }

  /** Opens a page. */
  async open(url: string, width = 1_100, height = 720): Promise<Page> {
    const context = await this.#browser.newContext({ viewport: { width, height } });
    context.setDefaultTimeout(PATIENCE);
    const page = await context.newPage();
    page.on("pageerror", (error) => this.errors.push(error));
    await page.goto(url);
    return page;
  }

  /** Ends the browser. A test whose page threw fails. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#browser.close();
    if (this.errors.length > 0) throw new AggregateError(this.errors, "A page threw");
  }
}

/** By how many pixels a page is wider than its screen. */
export function overflow(page: Page): Promise<number> {
  return page.evaluate("document.documentElement.scrollWidth - innerWidth");
}

/** Keeps what a page looks like, in the folder that `SCREENSHOTS` names, if it does. */
export async function look(page: Page, name: string): Promise<void> {
  const folder = Deno.env.get("SCREENSHOTS");
  if (folder) await page.screenshot({ path: join(folder, `${name}.png`) });
}
