/**
 * The arguments of a command: its options, its broker and its names.
 *
 * @module
 */

import process from "node:process";
import { parseArgs } from "node:util";
import { nearestOf } from "../core/util/nearest.ts";
import { quote } from "../core/util/quote.ts";
import type { Terminal } from "./terminal.ts";

/** An option of a command. */
export interface Option {
  /** The one-letter form. */
  readonly short?: string;
  /** The placeholder of the value. Without it, the option has no value. */
  readonly value?: string;
  /** Whether the option may be given several times. */
  readonly multiple?: boolean;
  /** The meaning of the option, as `--help` shows it. */
  readonly help: string;
}

/** A command, such as `pub`. */
export interface Command {
  /** The name of the command. */
  readonly name: string;
  /** What the command does, in one line. */
  readonly summary: string;
  /** The arguments of the command, as `--help` shows them. */
  readonly usage: string;
  /** The options of the command, by name. */
  readonly options: Readonly<Record<string, Option>>;
  /** Details and examples, as `--help` shows them. */
  readonly notes: string;
  /** Runs the command, and resolves with the exit code. */
  run(given: Arguments, terminal: Terminal): Promise<number>;
}

/** The arguments are wrong. The exit code is 2. */
export class UsageError extends Error {
  /** Always `"UsageError"`. */
  override name = "UsageError";
}

/** The options of every command. */
const COMMON: Readonly<Record<string, Option>> = {
  help: { short: "h", help: "show this help" },
};

/** Options of commands that write events. */
export const JSON_OPTION: Option = {
  help: "write one JSON object per line: id, channel, message, timestamp, headers",
};

/** The option for status messages. */
export const VERBOSE_OPTION: Option = {
  short: "v",
  help: "write status messages to standard error, even if it is not a terminal",
};

/** A broker's URL as the first argument. */
const URL = /^[a-z][a-z0-9+.-]*:\/\//i;

/** The environment variable with the broker's URL. */
const VARIABLE = "BROADCASTER_URL";

/** The arguments of a command. */
export class Arguments {
  /** The arguments without the options, and without the broker. */
  readonly names: readonly string[];
  readonly #url: string | undefined;
  readonly #values = new Map<string, (string | true)[]>();

  /**
   * @param command The command.
   * @param args The arguments after its name.
   * @throws {UsageError} If an option is unknown, or has no value.
   */
  constructor(command: Command, args: readonly string[]) {
    const known: Record<string, Option> = { ...command.options, ...COMMON };
    const { tokens, positionals } = parseArgs({
      args: [...args],
      options: Object.fromEntries(
        Object.entries(known).map(([name, { short, value }]) => [name, {
          type: value === undefined ? "boolean" as const : "string" as const,
          ...short !== undefined && { short },
        }]),
      ),
      allowPositionals: true,
      strict: false,
      tokens: true,
    });
    for (const token of tokens) {
      if (token.kind === "option") this.#add(known, token);
    }
    const isUrl = URL.test(positionals[0] ?? "");
    this.#url = isUrl ? positionals[0] : process.env[VARIABLE] || undefined;
    this.names = isUrl ? positionals.slice(1) : positionals;
  }

  /**
   * The broker's URL.
   *
   * @throws {UsageError} If there is none.
   */
  get url(): string {
    if (this.#url !== undefined) return this.#url;
    throw new UsageError(
      `no broker is given: write its URL first, such as redis://localhost:6379, or set ${VARIABLE}`,
    );
  }

  /** Whether an option without a value is given. */
  has(name: string): boolean {
    return this.#values.has(name);
  }

  /** The last value of an option. */
  text(name: string): string | undefined {
    return this.texts(name).at(-1);
  }

  /** All values of an option. */
  texts(name: string): readonly string[] {
    return (this.#values.get(name) ?? []) as string[];
  }

  /**
   * The value of an option, as a number of events.
   *
   * @throws {UsageError} If the value is not such a number.
   */
  count(name: string): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    if (/^\d{1,9}$/.test(text)) return Number(text);
    throw new UsageError(`--${name} must be a number of events, it is ${quote(text)}`);
  }

  #add(known: Readonly<Record<string, Option>>, token: OptionToken): void {
    const { name, rawName, value } = token;
    const option = Object.hasOwn(known, name) ? known[name] : undefined;
    if (!option) {
      const nearest = nearestOf(name, Object.keys(known));
      throw new UsageError(
        `unknown option ${rawName}${nearest === undefined ? "" : `, did you mean --${nearest}?`}`,
      );
    }
    if (option.value !== undefined && value === undefined) {
      throw new UsageError(`${rawName} needs a value: --${name} ${option.value}`);
    }
    if (option.value === undefined && value !== undefined) {
      throw new UsageError(`${rawName} takes no value`);
    }
    const values = this.#values.get(name) ?? [];
    if (values.length > 0 && !option.multiple && option.value !== undefined) {
      throw new UsageError(`--${name} is given twice`);
    }
    this.#values.set(name, [...values, value ?? true]);
  }
}

/** An option in the result of `parseArgs()`. */
interface OptionToken {
  readonly name: string;
  readonly rawName: string;
  readonly value?: string | undefined;
}

/** The help of a command. */
export function helpOf({ name, summary, usage, options, notes }: Command): string {
  const rows = Object.entries({ ...options, ...COMMON }).map(([option, { short, value, help }]) => {
    const letter = short === undefined ? "    " : `-${short}, `;
    return [`${letter}--${option}${value === undefined ? "" : ` ${value}`}`, help] as const;
  });
  return `${summary}

Usage: broadcaster ${name} ${usage}

Options:
${table(rows)}

${notes.trim()}
`;
}

/** Two columns of text, for lists of commands and options. */
export function table(rows: readonly (readonly [name: string, text: string])[]): string {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, text]) => `  ${name.padEnd(width)}  ${text}`).join("\n");
}
