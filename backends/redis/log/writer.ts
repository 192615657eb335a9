/**
 * Adds entries to streams, and wakes their readers.
 *
 * @module
 */

import type { Buffer } from "node:buffer";
import type { ChainableCommander } from "ioredis";
import type { Payload, PayloadOptions } from "../../../core/backend/contract.ts";
import { fingerprintOf } from "../../../core/backend/kit/fingerprint.ts";
import { sizeOf } from "../../../core/backend/kit/queue_tail.ts";
import { Position } from "../../../core/backend/position.ts";
import { bufferOf, type Link } from "../link.ts";
import type { Kind } from "../subscriber.ts";
import { addOnce, type KeyName, positionOf } from "./keys.ts";
import { FIELD, placeOf } from "./record.ts";

/** What one pipeline holds at most: a burst begins to be answered before it is sent. */
const COMMANDS = 1_024;
const BYTES = 4 * 1024 * 1024;

/** A payload that waits for the end of the turn. */
interface Waiting {
  readonly channel: string;
  readonly payload: Payload;
  readonly options: PayloadOptions | undefined;
  readonly succeed: (position: Position) => void;
  readonly fail: (reason: unknown) => void;
}

/** How a publisher tells that a stream has new entries. */
export interface Wakes {
  /** The pub/sub channel for a stream, if there can be one. */
  readonly of: (channel: string) => string | undefined;
  /** What publishes there. */
  readonly publish: "publish" | "spublish";
  /** What listens there. */
  readonly subscribe: Kind;
}

/** The wakes of a server. */
export const WAKES: Wakes = {
  of: (channel) => `${channel}:wake`,
  publish: "publish",
  subscribe: "subscribe",
};

/** How a stream's entries are kept and told of. */
export interface StreamOptions {
  /** How many entries a stream keeps, about; 0 for all. */
  readonly maxlen: number;
  /** How new ones are told of. */
  readonly wakes: Wakes;
  /** Where the keys of what is published once are remembered. */
  readonly keyName: KeyName;
  /** Whether a node of a cluster is asked for what it does not own yet. */
  readonly asking?: boolean;
}

/**
 * Sends what one turn of the event loop brings, for all channels, as one
 * pipeline: the XADDs, and behind them one PUBLISH for each stream.
 */
export class Writer {
  readonly #link: Link;
  readonly #options: StreamOptions;
  #waiting: Waiting[] = [];

  /**
   * @param link Where it sends.
   * @param options How entries are kept and told of.
   */
  constructor(link: Link, options: StreamOptions) {
    this.#link = link;
    this.#options = options;
  }

  /** Resolves, for each payload, once the server has stored it. */
  publish(
    channel: string,
    payloads: readonly Payload[],
    options?: readonly (PayloadOptions | undefined)[],
  ): Promise<Position>[] {
    if (this.#waiting.length === 0) queueMicrotask(() => this.#flush());
    return payloads.map((payload, index) =>
      new Promise((succeed, fail) =>
        this.#waiting.push({ channel, payload, options: options?.[index], succeed, fail })
      )
    );
  }

  #flush(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (let from = 0; from < waiting.length;) {
      let to = from;
      for (let bytes = 0; to < waiting.length && to - from < COMMANDS && bytes < BYTES; to++) {
        bytes += sizeOf(waiting[to]!.payload);
      }
      void this.#send(waiting.slice(from, to));
      from = to;
    }
  }

  async #send(batch: readonly Waiting[]): Promise<void> {
    const pipeline = this.#link.client.pipeline();
    const { wakes, asking } = this.#options;
    const channels = new Set<string>();
    for (const waiting of batch) {
      channels.add(waiting.channel);
      if (asking) pipeline.asking();
      this.#add(pipeline, waiting);
    }
    // A hint, no more: whether it is refused does not matter to what is stored.
    for (const channel of channels) {
      const wake = wakes.of(channel);
      if (wake !== undefined) pipeline[wakes.publish](wake, "");
    }
    try {
      const replies = await pipeline.exec() ?? [];
      batch.forEach(({ payload, options, succeed, fail }, index) => {
        const [error, answer] = replies[asking ? index * 2 + 1 : index]! as [Error, string];
        if (error) fail(this.#link.explain(error));
        else if (options?.once) succeed(positionOf(answer));
        else succeed(Position.of(placeOf(answer, fingerprintOf(payload))));
      });
    } catch (error) {
      for (const { fail } of batch) fail(this.#link.explain(error));
    }
  }

  #add(pipeline: ChainableCommander, { channel, payload, options }: Waiting): void {
    const { maxlen, keyName } = this.#options;
    const bytes = bufferOf(payload);
    if (!options) {
      if (maxlen === 0) pipeline.xadd(channel, "*", FIELD, bytes);
      else pipeline.xadd(channel, "MAXLEN", "~", maxlen, "*", FIELD, bytes);
      return;
    }
    const { headers = {}, once } = options;
    const trimming = maxlen === 0 ? [] : ["MAXLEN", "~", maxlen];
    const entry = [...trimming, "*", FIELD, bytes, ...Object.entries(headers).flat()];
    if (!once) return void pipeline.xadd(channel, ...entry as ["*", string, Buffer]);
    const name = keyName(channel, once)!;
    addOnce(pipeline, { channel, name, once, fingerprint: fingerprintOf(payload), entry });
  }
}
