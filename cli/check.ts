/**
 * `broadcaster check`: checks whether a broker can be used, what it can do, and what is missing.
 *
 * @module
 */

import { backendOf } from "../core/api/backend_of.ts";
import type { Backend, ServerFacts } from "../core/backend/contract.ts";
import { reasonOf } from "../core/backend/errors.ts";
import { unlessAborted } from "../core/util/abort.ts";
import { random } from "../core/util/random.ts";
import { after } from "../core/util/timer.ts";
import { type Arguments, type Command, UsageError } from "./arguments.ts";
import { type Connection, openBroadcast } from "./connection.ts";
import { jsonText } from "./event_lines.ts";
import type { Colour, Terminal } from "./terminal.ts";

/** The default channel of the check. On logs, it remains with some messages. */
const CHANNEL = "broadcaster-check";
/** The number of messages that are published. */
const MESSAGES = 5;
/** The time limit for a message to come back, in milliseconds. */
const PATIENCE = 5_000;

/** The result of a step: it works, this broker does not have it, or it fails. */
type Result = "ok" | "absent" | "failed";

/** One step of the check. */
interface Step {
  readonly name: string;
  readonly result: Result;
  /** How long the step took, in milliseconds. */
  readonly milliseconds?: number | undefined;
  /** Details of the result, or the reason why it failed. */
  readonly detail?: string | undefined;
}

/** The command. */
export const CHECK: Command = {
  name: "check",
  summary: "Checks whether a broker can be used, what it can do, and what is missing.",
  usage: "[options] [URL]",
  options: {
    channel: { value: "NAME", help: `the channel to use; by default ${CHANNEL}` },
    json: { help: "write one JSON object" },
  },
  notes: `
It connects, subscribes, and publishes ${MESSAGES} messages that must come back. On a broker with a log, it
reads them again, and they remain there. If the user may not use the channel, choose another one.

The exit code is 0 if everything that this kind of broker has works, otherwise 1.

Examples:
  broadcaster check redis://localhost:6379
  broadcaster check 'postgres://app@db.example.com/app?sslmode=verify-full'
  broadcaster check nats-stream://localhost:4222 --json | jq .server`,
  async run(given: Arguments, terminal: Terminal): Promise<number> {
    if (given.names.length > 0) {
      throw new UsageError(`the channel is named with --channel ${given.names[0]}`);
    }
    const channel = given.text("channel") ?? CHANNEL;
    const broadcast = openBroadcast(given.url);
    const check = new Check(broadcast, channel, given.has("json") ? undefined : terminal);
    try {
      const report = await check.run(terminal.ending);
      if (given.has("json")) await terminal.out.write(`${jsonText(report)}\n`);
      return report.ok ? 0 : 1;
    } finally {
      await broadcast.disconnect();
    }
  },
};

/** The result of a check. */
interface Report {
  readonly ok: boolean;
  readonly url: string | undefined;
  readonly steps: readonly Step[];
  readonly server: ServerFacts;
  readonly features: Readonly<Record<string, boolean>>;
  readonly warnings: readonly string[];
}

/** One check of one broker. */
class Check {
  readonly #broadcast: Connection;
  readonly #channel: string;
  readonly #terminal: Terminal | undefined;
  readonly #steps: Step[] = [];
  readonly #warnings = new Set<string>();

  /**
   * @param broadcast The broadcast.
   * @param channel The channel to use.
   * @param terminal Where the steps are written, if at all.
   */
  constructor(broadcast: Connection, channel: string, terminal: Terminal | undefined) {
    this.#broadcast = broadcast;
    this.#channel = channel;
    this.#terminal = terminal;
    broadcast.addEventListener("statechange", ({ state, error }) => {
      if (state === "connected" && error !== undefined) this.#warnings.add(reasonOf(error));
    });
  }

  /** Runs all steps. */
  async run(ending: AbortSignal): Promise<Report> {
    const broadcast = this.#broadcast;
    const backend = await this.#step("connect, client library included", async () => {
      await broadcast.connect({ signal: ending });
      return await backendOf(broadcast);
    });
    const server = await backend?.describe?.().catch(() => ({})) ?? {};
    if (backend) await this.#use(backend, ending);
    const report = {
      ok: this.#steps.every(({ result }) => result !== "failed"),
      url: backend?.address,
      steps: this.#steps,
      server,
      features: backend ? featuresOf(backend) : {},
      warnings: [...this.#warnings],
    };
    if (backend) await this.#tellServer(report);
    return report;
  }

  async #use(backend: Backend, ending: AbortSignal): Promise<void> {
    const broadcast = this.#broadcast;
    const channel = this.#channel;
    const subscription = await this.#step(
      "subscribe",
      () => broadcast.subscribe(channel, { signal: ending }),
    );
    const nonce = random();
    const texts = Array.from({ length: MESSAGES }, (_, index) => {
      return `broadcaster check ${index + 1} of ${MESSAGES}, ${nonce}`;
    });
    const took: number[] = [];
    const events = subscription?.values();
    await this.#step(subscription ? "publish and receive" : "publish", async () => {
      for (const text of texts) {
        const start = performance.now();
        await broadcast.publish(channel, text, { signal: ending });
        if (!events) return;
        await inTime(ending, async () => {
          for (;;) {
            const { value, done } = await events.next();
            if (done) throw new Error("the subscription ended");
            if (value.message === text) return;
          }
        });
        took.push(performance.now() - start);
      }
      return `median of ${MESSAGES}`;
    }, () => median(took));
    await subscription?.cancel().catch(() => {});
    subscription?.close();
    if (backend.read) {
      await this.#step("read the past", async () => {
        const past = await broadcast.history(channel, { limit: MESSAGES, signal: ending });
        const missing = texts.filter((text) => !past.some(({ message }) => message === text));
        if (subscription && missing.length > 0) {
          throw new Error(`${missing.length} of ${MESSAGES} messages are not in the log`);
        }
      });
    } else {
      await this.#tell({ name: "read the past", result: "absent", detail: withoutLog(backend) });
    }
    if (backend.features.patterns) {
      await this.#step("subscribe to patterns", async () => {
        const pattern = { pattern: `${channel}.*` };
        (await broadcast.subscribe(pattern, { signal: ending })).close();
      });
    } else await this.#tell({ name: "subscribe to patterns", result: "absent" });
  }

  /** Runs a step, and writes its result. */
  async #step<Value>(
    name: string,
    take: () => Promise<Value>,
    measured?: () => number | undefined,
  ): Promise<Value | undefined> {
    const start = performance.now();
    try {
      const value = await take();
      const milliseconds = measured ? measured() : performance.now() - start;
      const detail = typeof value === "string" ? value : undefined;
      await this.#tell({ name, result: "ok", milliseconds, detail });
      return value;
    } catch (error) {
      await this.#tell({ name, result: "failed", detail: reasonOf(error) });
      return undefined;
    }
  }

  async #tell(step: Step): Promise<void> {
    this.#steps.push(step);
    const { name, result, milliseconds, detail } = step;
    const out = this.#terminal?.out;
    if (!out) return;
    const [mark, colour] = MARKS[result];
    const time = milliseconds === undefined ? "" : `${roundedOf(milliseconds)} ms`;
    const short = result === "failed" ? "" : [time, detail].filter(Boolean).join(", ");
    await out.write(
      `${out.paint(colour, mark)} ${name}${short && `: ${out.paint("dim", short)}`}\n`,
    );
    if (result === "failed") await out.write(`  ${out.shown(detail ?? "")}\n`);
  }

  async #tellServer({ url, server, features, warnings, ok }: Report): Promise<void> {
    const out = this.#terminal?.out;
    if (!out) return;
    for (const warning of warnings) {
      await out.write(`${out.paint("yellow", "!")} ${out.shown(warning)}\n`);
    }
    const rows = Object.entries({ address: url ?? "", ...server, ...inWords(features) });
    const width = Math.max(...rows.map(([name]) => name.length));
    const lines = rows.map(([name, value]) => {
      return `${out.paint("dim", `${name}:`.padEnd(width + 1))} ${out.shown(value)}\n`;
    });
    await out.write(`\n${lines.join("")}`);
    if (!ok) await out.write(`\n${out.paint("red", "Something is missing: see above.")}\n`);
  }
}

const MARKS: Readonly<Record<Result, readonly [mark: string, colour: Colour]>> = {
  ok: ["✓", "green"],
  absent: ["-", "dim"],
  failed: ["✗", "red"],
};

/** Settles like the work, or rejects after `PATIENCE`. */
async function inTime(ending: AbortSignal, work: () => Promise<void>): Promise<void> {
  const late = new AbortController();
  const stop = after(PATIENCE, () => {
    late.abort(new Error(`the message did not come back within ${PATIENCE / 1_000} s`));
  });
  try {
    await unlessAborted(ending, unlessAborted(late.signal, work()));
  } finally {
    stop();
  }
}

function median(numbers: readonly number[]): number | undefined {
  return numbers.toSorted((one, other) => one - other)[Math.floor(numbers.length / 2)];
}

function roundedOf(milliseconds: number): string {
  return milliseconds < 10 ? milliseconds.toFixed(1) : milliseconds.toFixed(0);
}

function withoutLog({ name }: Backend): string {
  return name === "mqtt" || name === "broadcast-channel"
    ? "there is no log"
    : `there is no log, ${name}-stream:// has one`;
}

/** The features of a backend that have no step. */
function featuresOf({ features, read }: Backend): Readonly<Record<string, boolean>> {
  const { binary, headers = false, keys = false, patterns = false, crossProcess } = features;
  return { log: read !== undefined, patterns, headers, keys, binary, crossProcess };
}

/** The features without a step, in words. */
function inWords({ headers, keys, binary, crossProcess }: Report["features"]): ServerFacts {
  return {
    headers: headers ? "yes" : "no",
    "idempotency keys": keys ? "yes" : "no",
    payloads: binary ? "text and bytes" : "text only",
    ...!crossProcess && { reach: "this process only" },
  };
}
