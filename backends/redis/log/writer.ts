/**
 * Adds entries to streams, and wakes their readers.
 *
 * @module
 */

import type { Buffer } from "node:buffer";
import type { ChainableCommander } from "ioredis";
import type { OutgoingPayload } from "../../../core/backend/contract.ts";
import { fingerprintOf } from "../../../core/backend/kit/fingerprint.ts";
import { Position } from "../../../core/backend/position.ts";
import { bufferOf, type Link, pipelinesOf } from "../link.ts";
import type { Kind } from "../subscriber.ts";
import { addOnce, type KeyName, positionOf } from "./keys.ts";
import { FIELD, placeOf } from "./record.ts";

/** The pub/sub channels that announce new entries. */
export interface Wakes {
  /** The pub/sub channel of a stream, if it can have one. */
  readonly of: (channel: string) => string | undefined;
  /** The command that publishes there. */
  readonly publish: "publish" | "spublish";
  /** The command that subscribes to it. */
  readonly subscribe: Kind;
}

/** The wakes of a single server. */
export const WAKES: Wakes = {
  of: (channel) => `${channel}:wake`,
  publish: "publish",
  subscribe: "subscribe",
};

/** Options for streams. */
export interface StreamOptions {
  /** How many entries a stream keeps, approximately; 0 for all. */
  readonly maxlen: number;
  /** The wakes that announce new entries. */
  readonly wakes: Wakes;
  /** The names under which idempotency keys are stored. */
  readonly keyName: KeyName;
  /** Whether a node of a cluster is asked about slots that it is importing. */
  readonly asking?: boolean;
}

/** Adds messages as pipelines: the XADDs, and after them one PUBLISH for each stream. */
export class Writer {
  readonly #link: Link;
  readonly #options: StreamOptions;

  /**
   * @param link The connection for commands.
   * @param options Options for the streams.
   */
  constructor(link: Link, options: StreamOptions) {
    this.#link = link;
    this.#options = options;
  }

  /** Each promise resolves once the server has stored its message. */
  publish(messages: readonly OutgoingPayload[]): Promise<Position>[] {
    return [...pipelinesOf(messages)].flatMap((batch) => this.#send(batch));
  }

  #send(batch: readonly OutgoingPayload[]): Promise<Position>[] {
    const pipeline = this.#link.client.pipeline();
    const { wakes, asking } = this.#options;
    for (const message of batch) this.#add(asking ? pipeline.asking() : pipeline, message);
    for (const channel of new Set(batch.map(({ channel }) => channel))) {
      // Only a hint: the entries are stored even if it is refused.
      const wake = wakes.of(channel);
      if (wake !== undefined) pipeline[wakes.publish](wake, "");
    }
    const replies = pipeline.exec().catch((error) => Promise.reject(this.#link.explain(error)));
    return batch.map(async ({ payload, once }, index) => {
      const [error, answer] = (await replies)![asking ? index * 2 + 1 : index] as [Error, string];
      if (error) throw this.#link.explain(error);
      return once ? positionOf(answer) : Position.of(placeOf(answer, fingerprintOf(payload)));
    });
  }

  #add(
    pipeline: ChainableCommander,
    { channel, payload, headers, once }: OutgoingPayload,
  ): void {
    const { maxlen, keyName } = this.#options;
    const trimming = maxlen === 0 ? [] : ["MAXLEN", "~", maxlen];
    const others = headers ? Object.entries(headers).flat() : [];
    const entry = [...trimming, "*", FIELD, bufferOf(payload), ...others];
    if (!once) return void pipeline.xadd(channel, ...entry as ["*", string, Buffer]);
    const name = keyName(channel, once)!;
    addOnce(pipeline, { channel, name, once, fingerprint: fingerprintOf(payload), entry });
  }
}
