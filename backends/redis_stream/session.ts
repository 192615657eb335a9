/**
 * What lives as long as its connections.
 *
 * @module
 */

import type { Redis } from "ioredis";
import type { Position } from "../../position.ts";
import { Link } from "../redis/link.ts";
import { Reader, refusal } from "./reader.ts";
import { Sweep } from "./sweep.ts";
import { Watch } from "./watch.ts";
import { wakeOf, Writer } from "./writer.ts";

/**
 * Two connections: one for commands, and with the first tail one that hears
 * wakes. They end together: a tail needs both.
 */
export class Session {
  /** Settles once commands can be sent. */
  readonly ready: Promise<void>;
  /** Publishes. */
  readonly writer: Writer;
  /** Reads. */
  readonly reader: Reader;
  readonly #make: () => Redis;
  readonly #commands: Link;
  #wakes: Link | undefined;
  readonly #sweep: Sweep;
  /** By the name of their wakes. */
  readonly #watches = new Map<string, Watch>();

  /**
   * @param make Makes a client that is not connected.
   * @param maxlen How many entries a stream keeps, about; 0 for all.
   */
  constructor(make: () => Redis, maxlen: number) {
    this.#make = make;
    this.#commands = new Link(make(), (error) => this.#end(error));
    this.ready = this.#commands.ready;
    this.writer = new Writer(this.#commands, maxlen);
    this.reader = new Reader(this.#commands, maxlen);
    this.#sweep = new Sweep(this.#commands);
  }

  /** Whether a connection was lost: then it is of no more use. */
  get lost(): boolean {
    return this.#commands.lost || this.#wakes?.lost === true;
  }

  /** SUBSCRIBE to the wakes of a stream, answered; only then its end is looked for. */
  async tail(channel: string, after: Position | undefined): Promise<Watch["tail"]> {
    const link = this.#wakes ??= this.#listen();
    await link.ready;
    const wake = wakeOf(channel);
    try {
      await link.client.subscribe(wake);
    } catch (error) {
      throw refusal(link, error);
    }
    let position: Position;
    try {
      position = after ?? await this.reader.end(channel);
      if (this.lost) throw link.explain(undefined);
    } catch (error) {
      if (!this.lost) await link.client.unsubscribe(wake).catch(() => {});
      throw error;
    }
    const watch = new Watch(channel, position, this.reader, async () => {
      this.#sweep.delete(watch);
      if (this.#watches.get(wake) === watch) this.#watches.delete(wake);
      if (!this.lost) await link.client.unsubscribe(wake);
    });
    this.#watches.set(wake, watch);
    this.#sweep.add(watch);
    return watch.tail;
  }

  /** PING on each connection. */
  async probe(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#commands.probe(signal), this.#wakes?.probe(signal)]);
  }

  /** Shuts both sockets. */
  async close(): Promise<void> {
    this.#sweep.stop();
    await Promise.all([this.#commands.close(), this.#wakes?.close()]);
  }

  #listen(): Link {
    const link = new Link(this.#make(), (error) => this.#end(error));
    link.client.on("message", (wake: string) => this.#watches.get(wake)?.wake());
    return link;
  }

  #end(error: unknown): void {
    for (const watch of this.#watches.values()) watch.tail.error(error);
    this.#watches.clear();
    this.#sweep.stop();
  }
}
