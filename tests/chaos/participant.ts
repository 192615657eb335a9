/** A process of a run, as the run sees it: it gives orders, and hears reports. */

import { join } from "node:path";
import { guard } from "../services/server.ts";
import type { ProcessHistory } from "./history.ts";
import { TextLineStream } from "./lines.ts";
import type { Role } from "./plan.ts";

/** What a process reports: `t` says of what. */
export type Report = { readonly t: string } & Readonly<Record<string, unknown>>;

/** Where the processes run that run on Node: an app that has the package from its tarball. */
export interface NodeApp {
  readonly folder: string;
  /** The path of Node. */
  readonly node: string;
}

/** How long a process is waited for that should end by itself, in milliseconds. */
const LAST_PATIENCE = 10_000;
const TESTS = join(import.meta.dirname!, "..");
/** The files of the processes, below the folder of the tests. */
export const FILES = [
  ...["process", "publisher", "subscriber"].map((name) => `chaos/${name}.mjs`),
  ...["bare", "event_loop", "soak", "storm", "tally"].map((name) => `endurance/${name}.mjs`),
];

/** A process that does what its script says. */
export class Participant {
  readonly role: Role;
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #onReport: (report: Report, role: Role) => void;
  readonly #heard = new Map<string, () => void>();
  readonly #done: Promise<unknown>;
  readonly #unhandled: string[] = [];
  readonly #broken: string[] = [];
  readonly #unreadable: string[] = [];
  readonly #disconnects: number[] = [];
  #stderr = "";
  #heap: ProcessHistory["heap"];
  #ended: number | undefined;
  #code: number | undefined;

  /** Starts one of the {@linkcode FILES}; on Node if there is an app. */
  constructor(
    role: Role,
    script: string,
    config: object,
    app: NodeApp | undefined,
    onReport: (report: Report, role: Role) => void,
  ) {
    this.role = role;
    this.#onReport = onReport;
    const program = app ? [app.node, "--expose-gc", join(app.folder, script)] : [
      ...[Deno.execPath(), "run", "-A", "--no-check", "--v8-flags=--expose-gc"],
      join(TESTS, script),
    ];
    const [command, ...args] = [...guard(), ...program, JSON.stringify(config)];
    this.#child = new Deno.Command(command!, {
      args,
      ...app && { cwd: app.folder },
      env: { NO_COLOR: "1" },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#input = this.#child.stdin.getWriter();
    this.#done = Promise.all([this.#listen(), this.#overhear(), this.#child.status]);
  }

  /** Tells it to do something. */
  order(what: string, details: object = {}): void {
    const line = `${JSON.stringify({ do: what, ...details })}\n`;
    // Who has died does not listen; that is found out otherwise.
    this.#input.write(new TextEncoder().encode(line)).catch(() => {});
  }

  /** Tells it to do something; resolves with whether it reports that in time. */
  async ask(what: string, answer: string, patience: number): Promise<boolean> {
    const isHeard = this.expect(answer, patience, what);
    this.order(what);
    return await isHeard;
  }

  /** Resolves with whether it reports something in time. */
  async expect(answer: string, patience: number, what = answer): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#heard.set(answer, () => resolve(true));
    const timer = setTimeout(() => resolve(false), patience);
    let hasEnded = false;
    // Its last words may be heard after it has ended.
    void this.#done.then(() => {
      hasEnded = true;
      resolve(false);
    });
    const isDone = await promise;
    clearTimeout(timer);
    if (!isDone) {
      const why = hasEnded ? "it has ended" : `it did not within ${patience} ms`;
      this.#broken.push(`Cannot ${what}: ${why}`);
    }
    return isDone;
  }

  /** Has it disconnect and end by itself; kills it if it does not. */
  async leave(patience: number): Promise<void> {
    const isLeft = this.ask("leave", "left", patience);
    this.#input.close().catch(() => {});
    const hasLeft = await isLeft;
    const since = performance.now();
    const timer = setTimeout(() => this.kill(), hasLeft ? LAST_PATIENCE : 0);
    const { code, signal } = await this.#child.status;
    clearTimeout(timer);
    await this.#done;
    if (signal !== null) return;
    this.#ended = performance.now() - since;
    this.#code = code;
  }

  /** Ends it at once. */
  kill(): void {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
  }

  /** What is known of it. */
  get history(): ProcessHistory {
    return {
      name: this.role,
      unhandled: this.#unhandled,
      broken: this.#broken,
      unreadable: this.#unreadable,
      stderr: this.#stderr.trim().slice(0, 2_000),
      disconnects: this.#disconnects,
      heap: this.#heap,
      ended: this.#ended,
      code: this.#code,
    };
  }

  async #listen(): Promise<void> {
    const lines = this.#child.stdout
      .pipeThrough(new TextDecoderStream())
      .pipeThrough(new TextLineStream());
    for await (const line of lines) {
      try {
        for (const report of JSON.parse(line) as Report[]) this.#hear(report);
      } catch (error) {
        this.#broken.push(`it said what is no report: ${line.slice(0, 200)} (${error})`);
      }
    }
  }

  #hear(report: Report): void {
    const { t, error } = report;
    if (t === "unhandled") this.#unhandled.push(String(error));
    else if (t === "broken") this.#broken.push(String(error));
    else if (t === "unreadable") this.#unreadable.push(`${report.channel}: ${error}`);
    else if (t === "disconnected") this.#disconnects.push(Number(report.ms));
    else if (t === "left") this.#heap = report.heap as ProcessHistory["heap"];
    this.#onReport(report, this.role);
    this.#heard.get(t)?.();
  }

  async #overhear(): Promise<void> {
    const text = this.#child.stderr.pipeThrough(new TextDecoderStream());
    for await (const chunk of text) this.#stderr += chunk;
  }
}
