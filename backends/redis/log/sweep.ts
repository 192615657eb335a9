/**
 * The sweep polls streams for entries without a wake.
 *
 * @module
 */

import { inBackground } from "../../../core/util/background.ts";
import { after } from "../../../core/util/timer.ts";
import { movedError, redirectionOf } from "../errors.ts";
import type { Link } from "../link.ts";
import type { StreamTail } from "./tail.ts";

/** The number of streams in one pipeline. More would delay the commands after it. */
const SLICE = 64;
/** The minimum duration of a round, and the addition for each stream, in milliseconds. */
const ROUND = 50;
const EACH = 0.2;

/** Checks all streams in turn for entries that were added without a wake, or removed. */
export class Sweep {
  readonly #link: Link;
  readonly #apart: boolean;
  readonly #streams = new Set<StreamTail>();
  #next: Iterator<StreamTail, undefined> = this.#streams.values();
  /** Stops the timer, if there is one. */
  #stop: (() => void) | undefined;
  #stopped = false;

  /**
   * @param link The connection for commands.
   * @param apart Whether the connection leads to a node of a cluster.
   */
  constructor(link: Link, apart = false) {
    this.#link = link;
    this.#apart = apart;
  }

  /** Adds a stream. */
  add(stream: StreamTail): void {
    this.#streams.add(stream);
    this.#rest();
  }

  /** Removes a stream. */
  delete(stream: StreamTail): void {
    this.#streams.delete(stream);
    if (this.#streams.size === 0) this.#clear();
  }

  /** Stops the sweep for good. */
  stop(): void {
    this.#stopped = true;
    this.#streams.clear();
    this.#clear();
  }

  #clear(): void {
    this.#stop?.();
    this.#stop = undefined;
  }

  #rest(): void {
    const { size } = this.#streams;
    if (this.#stop || this.#stopped || size === 0) return;
    const pause = Math.max(ROUND, EACH * size) / Math.ceil(size / SLICE);
    this.#stop = after(pause, () => {
      // Nobody awaits this promise, so its error must not end the process.
      this.#look().catch((error) => this.#link.cut(error));
    });
  }

  async #look(): Promise<void> {
    const slice = this.#slice();
    if (slice.length > 0) await this.#ask(slice);
    this.#clear();
    this.#rest();
  }

  /** The next streams in turn, without those that are being read anyway. */
  #slice(): StreamTail[] {
    const slice: StreamTail[] = [];
    for (let count = Math.min(SLICE, this.#streams.size); count > 0; count--) {
      let { value } = this.#next.next();
      if (!value) {
        this.#next = this.#streams.values();
        value = this.#next.next().value;
      }
      if (value?.idle) slice.push(value);
    }
    return slice;
  }

  async #ask(slice: readonly StreamTail[]): Promise<void> {
    const { client } = this.#link;
    const pipeline = client.pipeline();
    // In a cluster, a command takes only keys of one slot.
    for (const group of this.#apart ? slice.map((stream) => [stream]) : [slice]) {
      const [keys, ids] = [group.map(({ channel }) => channel), group.map(({ id }) => id)];
      pipeline.xread("COUNT", 1, "STREAMS", ...keys, ...ids);
    }
    for (const { channel } of slice) pipeline.xlen(channel);
    // If the connection was lost, the tails end without this.
    const replies = await pipeline.exec().catch(() => undefined) as Reply[] | null | undefined;
    if (!replies || this.#stopped) return;
    const lengths = replies.splice(-slice.length);
    const streams = replies.flatMap(([, streams]) => streams as Streams ?? []);
    const moved = new Set(streams.map(([key]) => key));
    slice.forEach((stream, index) => {
      const [error, length] = lengths[index]!;
      if (redirectionOf(error)?.kind === "MOVED") inBackground(stream.fail(movedError()));
      // A read reports that a key is no longer a stream.
      else if (error || moved.has(stream.channel)) stream.wake();
      else stream.check(length as number);
    });
  }
}

type Reply = [error: unknown, reply: unknown];

/** The reply of XREAD, or nothing if there are no new entries. */
type Streams = [key: string, entries: unknown][] | null | undefined;
