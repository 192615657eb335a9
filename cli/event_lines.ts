/**
 * Events as lines of output: of text for people, or of JSON for programs.
 *
 * @module
 */

import type { BroadcastEvent, Gap } from "../core/backend/event.ts";
import type { Colour, Terminal } from "./terminal.ts";

/** Colours of channels, in the order in which the channels appear. */
const CHANNEL_COLOURS: readonly Colour[] = ["cyan", "green", "magenta", "yellow", "blue", "red"];
/** The widest column of channel names. */
const WIDEST = 24;
/** The number of shown bytes of a message that is not text. */
const SHOWN_BYTES = 16;

/** The format of the events. */
export interface EventLinesOptions {
  /** Whether each line is a JSON object. */
  readonly isJson: boolean;
  /** The channels that are known before the first event. A single channel is not named. */
  readonly channels: readonly string[];
  /** Whether channels are named even if only one is known, since there may be others. */
  readonly isNamed: boolean;
}

/** Writes events to standard output, one per line. */
export class EventLines {
  readonly #terminal: Terminal;
  readonly #options: EventLinesOptions;
  readonly #colours = new Map<string, Colour>();
  #width = 0;

  /**
   * @param terminal Where to write.
   * @param options The format.
   */
  constructor(terminal: Terminal, options: EventLinesOptions) {
    this.#terminal = terminal;
    this.#options = options;
    for (const channel of options.channels) this.#colourOf(channel);
  }

  /** Writes an event. Its gap is not part of the line. */
  async write(event: BroadcastEvent<string | Uint8Array>): Promise<void> {
    const { out } = this.#terminal;
    if (this.#options.isJson) return await out.write(jsonOf(event));
    const { message } = event;
    if (this.#options.isNamed) await out.write(this.#nameOf(event.channel));
    if (typeof message === "string") return await out.write(`${out.shown(message)}\n`);
    if (out.isTerminal) return await out.write(`${out.paint("dim", bytesOf(message))}\n`);
    await out.write(message);
    await out.write("\n");
  }

  /**
   * Writes a gap. JSON goes to standard output, between the events. Text goes to standard error.
   */
  async writeGap({ cause, missed, after }: Gap): Promise<void> {
    if (this.#options.isJson) {
      return await this.#terminal.out.write(
        `${jsonText({ gap: { cause, missed, after } })}\n`,
      );
    }
    const what = missed === undefined
      ? "events may be missing"
      : `${missed} event${missed === 1 ? " is" : "s are"} missing`;
    await this.#terminal.warn(`gap: ${what} (${cause})`);
  }

  #nameOf(channel: string): string {
    const { out } = this.#terminal;
    const colour = this.#colourOf(channel);
    return `${out.paint(colour, out.shown(channel).padEnd(this.#width))} | `;
  }

  #colourOf(channel: string): Colour {
    let colour = this.#colours.get(channel);
    if (colour === undefined) {
      colour = CHANNEL_COLOURS[this.#colours.size % CHANNEL_COLOURS.length]!;
      this.#colours.set(channel, colour);
      this.#width = Math.max(this.#width, Math.min(channel.length, WIDEST));
    }
    return colour;
  }
}

/**
 * An event as a line of JSON. Characters that terminals obey are escaped, even if JSON leaves them
 * unchanged.
 */
function jsonOf(
  { id, channel, message, timestamp, headers }: BroadcastEvent<string | Uint8Array>,
): string {
  const body = typeof message === "string" ? { message } : { base64: base64Of(message) };
  return `${jsonText({ id, channel, ...body, timestamp, headers })}\n`;
}

/** JSON without characters that a terminal obeys. */
export function jsonText(value: object): string {
  return JSON.stringify(value).replace(/[\x7f-\x9f]/g, (character) => {
    return `\\u00${character.charCodeAt(0).toString(16)}`;
  });
}

function base64Of(bytes: Uint8Array): string {
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}

function bytesOf(bytes: Uint8Array): string {
  const shown = Array.from(bytes.subarray(0, SHOWN_BYTES), (byte) => {
    return byte.toString(16).padStart(2, "0");
  });
  if (bytes.length > SHOWN_BYTES) shown.push("…");
  return `(${bytes.length} bytes: ${shown.join(" ")})`;
}
