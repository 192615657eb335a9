/**
 * The sweep: polls the streams for entries that no wake announced.
 *
 * @module
 */

import { after } from "../../../core/util/timer.ts";
import { redirectionOf } from "../cluster/slots.ts";
import type { Link } from "../link.ts";
import { movedError } from "../subscriber.ts";
import type { StreamTail } from "./tail.ts";

/** How many streams one pipeline asks about: more would be felt by what is sent behind it. */
const SLICE = 64;
/** How long a round takes at least, and what each stream adds, in milliseconds. */
const ROUND = 50;
const EACH = 0.2;

/**
 * Asks about all streams, in turn, whether they have anything new: what was
 * added without a wake, or removed.
 */
export class Sweep {
  readonly #link: Link;
  readonly #apart: boolean;
  readonly #watches = new Set<StreamTail>();
  #next: Iterator<StreamTail, undefined> = this.#watches.values();
  /** Stops the timer, while there is one. */
  #stop: (() => void) | undefined;
  #stopped = false;

  /**
   * @param link Where it asks.
   * @param apart Whether it asks a node of a cluster.
   */
  constructor(link: Link, apart = false) {
    this.#link = link;
    this.#apart = apart;
  }

  /** A stream is asked about from now on. */
  add(watch: StreamTail): void {
    this.#watches.add(watch);
    this.#rest();
  }

  /** A stream is not asked about any more. */
  delete(watch: StreamTail): void {
    this.#watches.delete(watch);
    if (this.#watches.size === 0) this.#clear();
  }

  /** Ends it for good. */
  stop(): void {
    this.#stopped = true;
    this.#watches.clear();
    this.#clear();
  }

  #clear(): void {
    this.#stop?.();
    this.#stop = undefined;
  }

  #rest(): void {
    const { size } = this.#watches;
    if (this.#stop || this.#stopped || size === 0) return;
    const pause = Math.max(ROUND, EACH * size) / Math.ceil(size / SLICE);
    this.#stop = after(pause, () => void this.#look());
  }

  async #look(): Promise<void> {
    const slice = this.#slice();
    if (slice.length > 0) await this.#ask(slice);
    this.#clear();
    this.#rest();
  }

  /** The next ones in turn, without those that are read anyway. */
  #slice(): StreamTail[] {
    const slice: StreamTail[] = [];
    for (let count = Math.min(SLICE, this.#watches.size); count > 0; count--) {
      let { value } = this.#next.next();
      if (!value) {
        this.#next = this.#watches.values();
        value = this.#next.next().value;
      }
      if (value?.idle) slice.push(value);
    }
    return slice;
  }

  async #ask(slice: readonly StreamTail[]): Promise<void> {
    const { client } = this.#link;
    const pipeline = client.pipeline();
    // Keys of different slots can only be asked about one by one.
    for (const group of this.#apart ? slice.map((watch) => [watch]) : [slice]) {
      const [keys, ids] = [group.map(({ channel }) => channel), group.map(({ id }) => id)];
      pipeline.xread("COUNT", 1, "STREAMS", ...keys, ...ids);
    }
    for (const { channel } of slice) pipeline.xlen(channel);
    // A connection that is lost ends the tails by itself.
    const replies = await pipeline.exec().catch(() => undefined) as Reply[] | null | undefined;
    if (!replies || this.#stopped) return;
    const lengths = replies.splice(-slice.length);
    const streams = replies.flatMap(([, streams]) => streams as Streams ?? []);
    const moved = new Set(streams.map(([key]) => key));
    slice.forEach((watch, index) => {
      const [error, length] = lengths[index]!;
      if (redirectionOf(error)?.kind === "MOVED") void watch.fail(movedError());
      // What is no stream any more is told by a read.
      else if (error || moved.has(watch.channel)) watch.wake();
      else watch.check(length as number);
    });
  }
}

type Reply = [error: unknown, reply: unknown];

/** What XREAD tells: nothing if there is nothing new. */
type Streams = [key: string, entries: unknown][] | null | undefined;
