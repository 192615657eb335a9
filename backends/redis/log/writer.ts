/**
 * Adds entries to streams, and wakes their readers.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { ChainableCommander } from "ioredis";
import type { OutgoingPayload } from "../../../core/backend/contract.ts";
import { TemporaryError } from "../../../core/backend/errors.ts";
import { fingerprintOf } from "../../../core/backend/kit/fingerprint.ts";
import { weightOf } from "../../../core/backend/kit/queue_tail.ts";
import { Position } from "../../../core/backend/position.ts";
import { isUnavailable } from "../errors.ts";
import { bufferOf, type Link, pipelinesOf } from "../link.ts";
import type { Kind } from "../subscriber.ts";
import { addOnce, type KeyName, positionOf } from "./keys.ts";
import { FIELD, placeOf } from "./record.ts";
import { lengthsOf, scriptOf } from "./wake.ts";

/** The largest entry in a wake, in bytes. */
const LARGEST = 4 * 1024;

/** The pub/sub channels that announce new entries. */
export interface Wakes {
  /** The pub/sub channel of a stream, if it can have one. */
  readonly of: (channel: string) => string | undefined;
  /** The command that publishes to it. */
  readonly publish: "publish" | "spublish";
  /** The command that subscribes to it. */
  readonly subscribe: Kind;
  /** Whether a wake may carry its entry. Not in a cluster that sends all wakes to all nodes. */
  readonly carries: boolean;
}

/** The wakes of a single server. */
export const WAKES: Wakes = {
  carries: true,
  of: (channel) => `${channel}:wake`,
  publish: "publish",
  subscribe: "subscribe",
};

/** Options for streams. */
export interface StreamOptions {
  /** The approximate number of entries that a stream keeps; 0 for all. */
  readonly maxlen: number;
  /** The wakes that announce new entries. */
  readonly wakes: Wakes;
  /** The names under which idempotency keys are stored. */
  readonly keyName: KeyName;
  /** Whether a node of a cluster is asked about slots that it is importing. */
  readonly asking?: boolean;
}

/**
 * Adds messages as pipelines: the XADDs, and after them one PUBLISH for each stream. If a small
 * message is alone in its turn, a script adds it, and its wake carries it. This needs the right to
 * run scripts.
 */
export class Writer {
  readonly #link: Link;
  readonly #options: StreamOptions;
  /** The arguments of XADD between the key and the payload. */
  readonly #adding: readonly (string | number)[];
  #script = "";
  /** Whether the user may run the script. This is tested after the first messages. */
  #scripts: "untried" | "tried" | "allowed" | "refused" = "untried";

  /**
   * @param link The connection for commands.
   * @param options Options for the streams.
   */
  constructor(link: Link, options: StreamOptions) {
    const { asking, maxlen } = options;
    this.#link = link;
    this.#options = options;
    this.#adding = maxlen === 0 ? ["*", FIELD] : ["MAXLEN", "~", maxlen, "*", FIELD];
    if (asking) this.#scripts = "refused";
  }

  /** Each promise resolves once the server has stored its message. */
  publish(messages: readonly OutgoingPayload[]): Promise<Position>[] {
    const refusal = this.#link.refusal();
    if (refusal) return messages.map(() => Promise.reject(refusal));
    const [message, another] = messages;
    if (message && !another && this.#scripts === "allowed" && isSmall(message)) {
      const wake = this.#wakeOf(message.channel);
      if (wake !== undefined) return [this.#carry(message, wake)];
    }
    return [...pipelinesOf(messages)].flatMap((batch) => this.#send(batch));
  }

  #carry(message: OutgoingPayload, wake: string): Promise<Position> {
    const { channel, payload } = message;
    const parts = partsOf(message);
    const lengths = lengthsOf(parts);
    return this.#link.client.eval(this.#script, 1, channel, wake, lengths, ...parts).then(
      (id) => Position.of(placeOf(id as string, fingerprintOf(payload))),
      (error) => {
        if (!isUnavailable(error)) throw this.#link.explain(error);
        // The user lacks the right to scripts, or to this key. A pipeline shows which.
        this.#scripts = "untried";
        throw new TemporaryError("the user may not add it by a script", { cause: error });
      },
    );
  }

  #send(batch: readonly OutgoingPayload[]): Promise<Position>[] {
    const pipeline = this.#link.client.pipeline();
    const { wakes, asking } = this.#options;
    for (const message of batch) this.#add(asking ? pipeline.asking() : pipeline, message);
    for (const channel of new Set(batch.map(({ channel }) => channel))) {
      // A wake is only a hint. The entries are stored even if it is refused.
      const wake = wakes.of(channel);
      if (wake !== undefined) pipeline[wakes.publish](wake, "");
    }
    const isTrial = this.#try(pipeline, batch[0]!.channel);
    const replies = pipeline.exec().catch((error) => Promise.reject(this.#link.explain(error)));
    if (isTrial) replies.then((replies) => this.#learn(replies!), () => this.#scripts = "untried");
    return batch.map(async ({ payload, once }, index) => {
      const [error, answer] = (await replies)![asking ? index * 2 + 1 : index] as [Error, string];
      if (error) throw this.#link.explain(error);
      return once ? positionOf(answer) : Position.of(placeOf(answer, fingerprintOf(payload)));
    });
  }

  /** Tests whether a script may publish the wake of the first message, unless this is known. */
  #try(pipeline: ChainableCommander, channel: string): boolean {
    const wake = this.#scripts === "untried" ? this.#wakeOf(channel) : undefined;
    if (wake === undefined) return false;
    this.#script = scriptOf(this.#adding, this.#options.wakes.publish);
    this.#scripts = "tried";
    pipeline.eval(this.#script, 1, channel, wake);
    return true;
  }

  #learn(replies: readonly [error: unknown, answer: unknown][]): void {
    const [failure] = replies[0]!;
    const [, answer] = replies.at(-1)!;
    // A stream that cannot be written to shows nothing about scripts.
    if (failure) this.#scripts = "untried";
    else this.#scripts = answer === 1 ? "allowed" : "refused";
  }

  /** The wake of a stream, if it may carry an entry. */
  #wakeOf(channel: string): string | undefined {
    const { wakes } = this.#options;
    return wakes.carries ? wakes.of(channel) : undefined;
  }

  #add(pipeline: ChainableCommander, message: OutgoingPayload): void {
    const { channel, payload, once } = message;
    const entry = [...this.#adding, ...partsOf(message)];
    if (!once) return void pipeline.xadd(channel, ...entry as ["*", string, Buffer]);
    const name = this.#options.keyName(channel, once)!;
    addOnce(pipeline, { channel, name, once, fingerprint: fingerprintOf(payload), entry });
  }
}

/** Whether a message is small enough for its wake. */
function isSmall({ headers, once, payload }: OutgoingPayload): boolean {
  return !once && payload.length <= LARGEST &&
    Buffer.byteLength(payload) + weightOf({ payload: "", headers }) <= LARGEST;
}

/** The payload, and the names and values of the headers. */
function partsOf({ headers, payload }: OutgoingPayload): [string | Buffer, ...string[]] {
  return headers ? [bufferOf(payload), ...Object.entries(headers).flat()] : [bufferOf(payload)];
}
