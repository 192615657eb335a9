/**
 * The reader, the writer and the tails of one pair of Redis connections.
 *
 * @module
 */

import type { Redis } from "ioredis";
import type { Position } from "../../../core/backend/position.ts";
import { inBackground } from "../../../core/util/background.ts";
import { lostError } from "../errors.ts";
import { Link } from "../link.ts";
import { type Listener, Subscriber } from "../subscriber.ts";
import { Reader } from "./reader.ts";
import { Sweep } from "./sweep.ts";
import { StreamTail } from "./tail.ts";
import { type StreamOptions, WAKES, type Wakes, Writer } from "./writer.ts";

/** The methods of the reader that a tail uses. */
type Pages = Pick<Reader, "read" | "end">;

/**
 * Two connections: one for commands, and one for wakes, which the first tail opens. They end
 * together, since a tail needs both.
 */
export class Session {
  /** Settles once commands can be sent. */
  readonly ready: Promise<void>;
  /** The connection for commands. */
  readonly commands: Link;
  /** Adds entries. */
  readonly writer: Writer;
  /** Reads entries. */
  readonly reader: Reader;
  readonly #make: () => Redis;
  readonly #wakes: Wakes;
  #subscriber: Subscriber | undefined;
  readonly #sweep: Sweep;
  readonly #tails = new Set<StreamTail>();
  #closed = false;

  /**
   * @param make Creates a client, without connecting it.
   * @param options Options for the streams.
   */
  constructor(make: () => Redis, options: StreamOptions) {
    this.#make = make;
    this.#wakes = options.wakes;
    this.commands = new Link(make(), { onLost: (error) => this.#end(error) });
    this.ready = this.commands.ready;
    this.writer = new Writer(this.commands, options);
    this.reader = new Reader(this.commands, options);
    this.#sweep = new Sweep(this.commands, options.wakes !== WAKES);
  }

  /** Whether a connection was lost. A new session is then needed. */
  get lost(): boolean {
    return this.commands.lost || this.#subscriber?.lost === true;
  }

  /** Number of open connections. */
  get connections(): number {
    return Number(!this.commands.lost) + Number(this.#subscriber?.lost === false);
  }

  /** Subscribes to the wakes of a stream. Reads its end only after the server has confirmed. */
  async tail(
    channel: string,
    after: Position | undefined,
    pages: Pages = this.reader,
  ): Promise<StreamTail["tail"]> {
    let stream: StreamTail | undefined;
    let failure: { readonly reason: unknown } | undefined;
    const leave = await this.#listen(channel, {
      push: (wake) => {
        if (wake.kind === "record") stream?.receive(wake.payload);
      },
      error: (reason) => {
        failure = { reason };
        if (stream) inBackground(stream.fail(reason));
      },
    });
    try {
      const position = after ?? await pages.end(channel);
      if (failure || this.lost) throw failure?.reason ?? lostError();
      stream = new StreamTail(channel, position, pages, async () => {
        this.#sweep.delete(stream!);
        this.#tails.delete(stream!);
        await leave?.();
      });
    } catch (error) {
      await leave?.().catch(() => {});
      throw error;
    }
    this.#tails.add(stream);
    this.#sweep.add(stream);
    return stream.tail;
  }

  /** Sends PING on each connection. */
  async probe(signal: AbortSignal): Promise<void> {
    await Promise.all([this.commands.probe(signal), this.#subscriber?.probe(signal)]);
  }

  /** Closes both sockets. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#sweep.stop();
    await Promise.all([this.commands.close(), this.#subscriber?.close()]);
  }

  async #listen(channel: string, listener: Listener): Promise<(() => Promise<void>) | undefined> {
    if (this.#closed) throw lostError();
    this.#subscriber ??= new Subscriber(this.#make(), { onLost: (error) => this.#end(error) });
    await this.#subscriber.ready;
    const wake = this.#wakes.of(channel);
    if (wake === undefined) return undefined;
    return await this.#subscriber.listen(this.#wakes.subscribe, wake, listener);
  }

  #end(error: unknown): void {
    for (const stream of this.#tails) stream.tail.error(error);
    this.#tails.clear();
    this.#sweep.stop();
  }
}
