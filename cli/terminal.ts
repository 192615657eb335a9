/**
 * The terminal that the command runs in: standard input and output, colours, and signals.
 *
 * @module
 */

import process from "node:process";
import { LONGEST } from "../core/util/timer.ts";

/** The colours of text, as SGR codes. */
const COLOURS = {
  red: 31,
  green: 32,
  yellow: 33,
  blue: 34,
  magenta: 35,
  cyan: 36,
  dim: 2,
} as const;

/** A colour of text. */
export type Colour = keyof typeof COLOURS;

/** Signals that end the command gracefully. A second signal ends it at once. */
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Characters that a terminal obeys, except tabs and line breaks. */
// deno-lint-ignore no-control-regex
const OBEYED = /[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g;

/** The standard streams of this process. */
export class Terminal {
  /** Standard output: the result. */
  readonly out: Output;
  /** Standard error: everything else. */
  readonly err: Output;
  /** Aborts after a signal, or when nobody reads standard output any more. */
  readonly ending: AbortSignal;
  /** The signal that ended the command. */
  signal: (typeof SIGNALS)[number] | undefined;
  readonly #ending = new AbortController();
  readonly #staying: ReturnType<typeof setInterval>;
  /** Functions that stop listening to signals. */
  readonly #listeners: (() => void)[] = [];

  /** Starts to listen to signals. */
  constructor() {
    this.ending = this.#ending.signal;
    this.out = new Output(process.stdout, () => this.#ending.abort());
    this.err = new Output(process.stderr, () => {});
    // A subscription to `memory://` would not keep the process alive.
    this.#staying = setInterval(() => {}, LONGEST);
    for (const signal of SIGNALS) {
      const listener = () => {
        this.signal = signal;
        this.#forget();
        this.#ending.abort();
      };
      process.on(signal, listener);
      this.#listeners.push(() => process.off(signal, listener));
    }
  }

  /** Stops listening, and lets the process end. */
  release(): void {
    this.#forget();
    clearInterval(this.#staying);
  }

  /** The next signal ends the process at once. */
  #forget(): void {
    for (const remove of this.#listeners.splice(0)) remove();
  }

  /** Whether the input is typed at a terminal. */
  get isTyped(): boolean {
    return Boolean(process.stdin.isTTY);
  }

  /** The chunks of standard input, until the input or the command ends. */
  async *input(): AsyncGenerator<Uint8Array> {
    const { stdin } = process;
    const stop = () => void stdin.destroy();
    this.ending.addEventListener("abort", stop);
    try {
      for await (const chunk of stdin) yield chunk as Uint8Array;
    } catch (error) {
      if (!this.ending.aborted) throw error;
    } finally {
      this.ending.removeEventListener("abort", stop);
    }
  }

  /** Writes a notice to standard error, if it is a terminal or the user asked for it. */
  async notice(text: string, isAsked: boolean): Promise<void> {
    if (isAsked || this.err.isTerminal) await this.err.write(`${this.err.paint("dim", text)}\n`);
  }

  /** Writes a warning to standard error. */
  async warn(text: string): Promise<void> {
    await this.err.write(`${this.err.paint("yellow", this.err.shown(text))}\n`);
  }
}

/** The used parts of a stream of Node. */
interface Writing {
  readonly isTTY?: boolean;
  write(chunk: string | Uint8Array, callback: () => void): boolean;
  on(event: "error", listener: (error: Error) => void): unknown;
}

/** One of the standard streams for output. */
export class Output {
  /** Whether the stream is a terminal. */
  readonly isTerminal: boolean;
  /** The error of the stream, unless its reader has closed it. */
  error: Error | undefined;
  readonly #stream: Writing;
  readonly #isColoured: boolean;
  #isGone = false;

  /**
   * @param stream The stream.
   * @param onGone Called once the stream cannot be written to any more.
   */
  constructor(stream: Writing, onGone: () => void) {
    this.#stream = stream;
    this.isTerminal = Boolean(stream.isTTY);
    this.#isColoured = isColoured(this.isTerminal);
    stream.on("error", (error: Error & { readonly code?: string }) => {
      if (this.#isGone) return;
      this.#isGone = true;
      // The reader has read all that it wants, as `head` does.
      if (error.code !== "EPIPE" && error.code !== "EOF") this.error = error;
      onGone();
    });
  }

  /** Writes a text. Resolves once there is room for more, or the reader has closed the stream. */
  write(text: string | Uint8Array): Promise<void> {
    if (this.#isGone) return Promise.resolve();
    return new Promise((resolve) => {
      if (this.#stream.write(text, () => resolve())) resolve();
    });
  }

  /** Resolves once everything is written. */
  flush(): Promise<void> {
    if (this.#isGone) return Promise.resolve();
    return new Promise((resolve) => this.#stream.write("", () => resolve()));
  }

  /** A text in a colour, if colours are shown. */
  paint(colour: Colour, text: string): string {
    return this.#isColoured ? `\x1b[${COLOURS[colour]}m${text}\x1b[0m` : text;
  }

  /** An untrusted text. On a terminal, characters that it would obey are escaped. */
  shown(text: string): string {
    if (!this.isTerminal) return text;
    return text.replace(OBEYED, (character) => {
      return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
    });
  }
}

/** Whether colours are shown: by `NO_COLOR` and `FORCE_COLOR`, otherwise if it is a terminal. */
function isColoured(isTerminal: boolean): boolean {
  const { FORCE_COLOR, NO_COLOR, TERM } = process.env as Record<string, string | undefined>;
  if (FORCE_COLOR !== undefined) return !/^(0|false)$/.test(FORCE_COLOR);
  return !NO_COLOR && TERM !== "dumb" && isTerminal;
}
