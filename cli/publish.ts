/**
 * `broadcaster pub`: publishes a message, or each line of standard input.
 *
 * @module
 */

import type { PublishOptions } from "../core/api/options.ts";
import { inBackground } from "../core/util/background.ts";
import { quote } from "../core/util/quote.ts";
import { type Arguments, type Command, UsageError, VERBOSE_OPTION } from "./arguments.ts";
import { connected, type Connection } from "./connection.ts";
import { jsonText } from "./event_lines.ts";
import type { Terminal } from "./terminal.ts";

/** The maximum number of messages that wait for the broker's answer. */
const UNANSWERED = 64;

/** The command. */
export const PUBLISH: Command = {
  name: "pub",
  summary: "Publishes a message, or each line of standard input.",
  usage: "[options] [URL] CHANNEL [MESSAGE]",
  options: {
    header: { short: "H", value: "NAME=VALUE", multiple: true, help: "add a header" },
    key: {
      value: "KEY",
      help: "idempotency key: while the broker knows it, nothing is stored again",
    },
    json: { help: 'write {"channel", "id"} for each message that the broker has accepted' },
    verbose: VERBOSE_OPTION,
  },
  notes: `
Without MESSAGE, each line of standard input is a message. With - as MESSAGE, all of standard
input is one message. The command ends once the broker has accepted all, or refused one.

Examples:
  broadcaster pub redis://localhost:6379 chatroom 'hello, everybody'
  tail -f app.log | broadcaster pub nats://localhost:4222 log
  broadcaster pub amqp://localhost:5672 orders - < order.json`,
  async run(given: Arguments, terminal: Terminal): Promise<number> {
    const [channel, message, more] = given.names;
    if (channel === undefined) throw new UsageError("no channel is given");
    if (more !== undefined) {
      throw new UsageError(
        `one message is given at a time, write it in quotes: '${message} ${more}'`,
      );
    }
    const isVerbose = given.has("verbose");
    const key = given.text("key");
    if (key !== undefined && (message === undefined)) {
      throw new UsageError("--key is for one message, give it as MESSAGE or as -");
    }
    const options = { headers: headersOf(given.texts("header")), idempotencyKey: key };
    return await connected(given, terminal, async (broadcast) => {
      const sent = new Publishing(
        broadcast,
        channel,
        options,
        given.has("json") ? terminal : undefined,
      );
      if (message === undefined) {
        if (terminal.isTyped) {
          await terminal.notice("Each line is a message. Ctrl-D ends.", true);
        }
        for await (const line of linesOf(terminal.input())) await sent.publish(line);
      } else if (message === "-") {
        let text = "";
        for await (const part of textOf(terminal.input())) text += part;
        await sent.publish(text);
      } else await sent.publish(message);
      await sent.finished();
      if (!terminal.ending.aborted || sent.count > 0) {
        const messages = sent.count === 1 ? "1 message" : `${sent.count} messages`;
        await terminal.notice(`${messages} published to ${quote(channel)}`, isVerbose);
      }
      return 0;
    });
  },
};

/** Publishes messages in order, without waiting for each answer. */
class Publishing {
  /** The number of accepted messages. */
  count = 0;
  readonly #broadcast: Connection;
  readonly #channel: string;
  readonly #options: PublishOptions;
  readonly #terminal: Terminal | undefined;
  /** Settles once all messages are accepted, or at the first refusal. */
  #last: Promise<void> = Promise.resolve();
  #waiting = 0;
  #error: { readonly reason: unknown } | undefined;
  #onRoom: () => void = () => {};

  /**
   * @param broadcast The broadcast.
   * @param channel The channel.
   * @param options Options of each message.
   * @param terminal Where to write the ids, if at all.
   */
  constructor(
    broadcast: Connection,
    channel: string,
    options: PublishOptions,
    terminal: Terminal | undefined,
  ) {
    this.#broadcast = broadcast;
    this.#channel = channel;
    this.#options = options;
    this.#terminal = terminal;
  }

  /** Publishes a message. Waits only while too many messages are unanswered. */
  async publish(message: string): Promise<void> {
    if (this.#error) throw this.#error.reason;
    const published = this.#broadcast.publish(this.#channel, message, this.#options);
    this.#waiting++;
    const before = this.#last;
    this.#last = this.#tell(before, published);
    inBackground(published);
    inBackground(this.#last);
    if (this.#waiting >= UNANSWERED) await new Promise<void>((resolve) => this.#onRoom = resolve);
  }

  /** Resolves once all messages are accepted. */
  async finished(): Promise<void> {
    await this.#last;
  }

  async #tell(before: Promise<void>, published: Promise<string | undefined>): Promise<void> {
    try {
      await before;
      const id = await published;
      this.count++;
      await this.#terminal?.out.write(`${jsonText({ channel: this.#channel, id })}\n`);
    } catch (reason) {
      this.#error ??= { reason };
      throw reason;
    } finally {
      this.#waiting--;
      this.#onRoom();
    }
  }
}

function headersOf(texts: readonly string[]): Record<string, string> | undefined {
  if (texts.length === 0) return undefined;
  return Object.fromEntries(texts.map((text) => {
    const [, name, value] = /^([^=]+)=([^]*)$/.exec(text) ?? [];
    if (name !== undefined && value !== undefined) return [name, value];
    throw new UsageError(`--header must be NAME=VALUE, it is ${quote(text)}`);
  }));
}

/** The lines of a text, without their line endings. */
async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  let rest = "";
  for await (const text of textOf(chunks)) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    for (const line of lines) yield line.replace(/\r$/, "");
  }
  if (rest !== "") yield rest;
}

async function* textOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  try {
    for await (const chunk of chunks) yield decoder.decode(chunk, { stream: true });
    yield decoder.decode();
  } catch (error) {
    if (
      (error as { readonly code?: unknown }).code !== "ERR_ENCODING_INVALID_ENCODED_DATA" &&
      (error as Error).name !== "TypeError"
    ) throw error;
    throw new Error("Cannot publish standard input: it is not UTF-8", { cause: error });
  }
}
