/**
 * The reader, the writer and the tails of one pair of Redis connections.
 *
 * @module
 */

import type { Redis } from "ioredis";
import { ConnectionError } from "../../../core/backend/errors.ts";
import type { Position } from "../../../core/backend/position.ts";
import { Link } from "../link.ts";
import { type Listener, Subscriber } from "../subscriber.ts";
import { Reader, refusal } from "./reader.ts";
import { Sweep } from "./sweep.ts";
import { StreamTail } from "./tail.ts";
import { type StreamOptions, WAKES, type Wakes, Writer } from "./writer.ts";

/** What a tail reads by. */
type Pages = Pick<Reader, "read" | "end">;

/**
 * Two connections: one for commands, and with the first tail one that hears
 * wakes. They end together: a tail needs both.
 */
export class Session {
  /** Settles once commands can be sent. */
  readonly ready: Promise<void>;
  /** Where commands are sent. */
  readonly commands: Link;
  /** Publishes. */
  readonly writer: Writer;
  /** Reads. */
  readonly reader: Reader;
  readonly #make: () => Redis;
  readonly #wakes: Wakes;
  #ears: Subscriber | undefined;
  readonly #sweep: Sweep;
  readonly #watches = new Set<StreamTail>();
  #closed = false;

  /**
   * @param make Makes a client that is not connected.
   * @param options How entries are kept and told of.
   */
  constructor(make: () => Redis, options: StreamOptions) {
    this.#make = make;
    this.#wakes = options.wakes;
    this.commands = new Link(make(), (error) => this.#end(error));
    this.ready = this.commands.ready;
    this.writer = new Writer(this.commands, options);
    this.reader = new Reader(this.commands, options);
    this.#sweep = new Sweep(this.commands, options.wakes !== WAKES);
  }

  /** Whether a connection was lost: then it is of no more use. */
  get lost(): boolean {
    return this.commands.lost || this.#ears?.link.lost === true;
  }

  /** SUBSCRIBE to the wakes of a stream, answered; only then its end is looked for. */
  async tail(
    channel: string,
    after: Position | undefined,
    pages: Pages = this.reader,
  ): Promise<StreamTail["tail"]> {
    let watch: StreamTail | undefined;
    let failure: { readonly reason: unknown } | undefined;
    const leave = await this.#listen(channel, {
      push: () => watch?.wake(),
      error: (reason) => {
        failure = { reason };
        void watch?.fail(reason);
      },
    });
    try {
      const position = after ?? await pages.end(channel);
      if (failure || this.lost) throw failure?.reason ?? this.commands.explain(undefined);
      watch = new StreamTail(channel, position, pages, async () => {
        this.#sweep.delete(watch!);
        this.#watches.delete(watch!);
        await leave?.();
      });
    } catch (error) {
      await leave?.().catch(() => {});
      throw error;
    }
    this.#watches.add(watch);
    this.#sweep.add(watch);
    return watch.tail;
  }

  /** PING on each connection. */
  async probe(signal: AbortSignal): Promise<void> {
    await Promise.all([this.commands.probe(signal), this.#ears?.link.probe(signal)]);
  }

  /** Shuts both sockets. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#sweep.stop();
    await Promise.all([this.commands.close(), this.#ears?.link.close()]);
  }

  async #listen(channel: string, listener: Listener): Promise<(() => Promise<void>) | undefined> {
    if (this.#closed) throw new ConnectionError("the connection to the server is closed");
    this.#ears ??= new Subscriber(this.#make(), { onLost: (error) => this.#end(error) });
    const { link } = this.#ears;
    await link.ready;
    const wake = this.#wakes.of(channel);
    if (wake === undefined) return undefined;
    try {
      return await this.#ears.listen(this.#wakes.subscribe, wake, listener);
    } catch (error) {
      throw refusal(link, error);
    }
  }

  #end(error: unknown): void {
    for (const watch of this.#watches) watch.tail.error(error);
    this.#watches.clear();
    this.#sweep.stop();
  }
}
