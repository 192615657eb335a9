/**
 * Messages that are being encoded, in order within each channel.
 *
 * @module
 */

import type { Payload } from "../backend/contract.ts";
import { nameOf } from "../backend/name.ts";
import { onAbort } from "../util/abort.ts";
import { isThenable } from "../util/realm.ts";
import { LONGEST } from "../util/timer.ts";

/**
 * The shortest time limit of a codec, in milliseconds. A shorter `timeout` is meant for an
 * unreachable broker, and would reject messages whenever the process is busy.
 */
export const SHORTEST_LIMIT = 1_000;

/** The time limit of a codec for one message, in milliseconds. */
export function codecLimit(timeout: number): number {
  return Math.min(Math.max(timeout, SHORTEST_LIMIT), LONGEST);
}

/** The error for a codec whose promise does not settle. */
export function lateCodecError(what: string, limit: number): DOMException {
  return new DOMException(
    `Cannot ${what}: its codec, or schema, did not settle for ${limit / 1_000} s`,
    "TimeoutError",
  );
}

/** A message that is being encoded, or is encoded and waits for an earlier one of its channel. */
interface Entry {
  /**
   * The payload, once it is encoded. It is in an object, since a faulty codec may return any value.
   */
  encoded: { readonly payload: Payload } | undefined;
  /** The time of `performance.now()` when its encoding began. */
  readonly since: number;
  /** Passes the payload on. */
  readonly send: (payload: Payload) => void;
  /** Rejects the message. */
  readonly fail: (reason: unknown) => void;
}

/** The messages of one channel. Its timer limits how long they wait for the first message. */
interface Lane {
  readonly entries: Set<Entry>;
  /** The time when the wait for the first message began. */
  since: number;
  timer: ReturnType<typeof setTimeout> | undefined;
}

/**
 * Passes encoded messages on, in the order of publishing within each channel. A slow message holds
 * back only the later messages of its channel. A message that takes too long, or whose signal
 * aborts, is rejected.
 */
export class Encodings {
  readonly #lanes = new Map<string, Lane>();
  readonly #limit: number;
  #drained: (() => void) | undefined;

  /** @param timeout The time that a message may take, in milliseconds; at least a second. */
  constructor(timeout: number) {
    this.#limit = codecLimit(timeout);
  }

  /** Returns `true` if a payload can be passed on at once. */
  isTurn(channel: string, payload: Payload | PromiseLike<Payload>): payload is Payload {
    return !isThenable(payload) && (this.#lanes.size === 0 || !this.#lanes.has(channel));
  }

  /**
   * Passes a payload on. Waits only while this payload, or an earlier one of its channel, is being
   * encoded.
   *
   * @param channel The channel whose order is kept.
   * @param payload The payload, or the promise of a codec.
   * @param send Takes the payload when it is its turn.
   * @param signal Rejects the message when it aborts. The message is then not sent.
   */
  inTurn<Result>(
    channel: string,
    payload: Payload | PromiseLike<Payload>,
    send: (payload: Payload) => Promise<Result>,
    signal?: AbortSignal,
  ): Promise<Result> {
    if (this.isTurn(channel, payload)) return send(payload);
    const isPending = isThenable(payload);
    return new Promise((resolve, reject) => {
      const now = performance.now();
      const lane = this.#lanes.get(channel) ?? this.#open(channel, now);
      let forget: (() => void) | undefined;
      const entry: Entry = {
        encoded: isPending ? undefined : { payload },
        since: now,
        send: (payload) => {
          forget?.();
          try {
            resolve(send(payload));
          } catch (error) {
            reject(error);
          }
        },
        fail: (reason) => {
          forget?.();
          reject(reason);
        },
      };
      const fail = (reason: unknown) => {
        if (!lane.entries.delete(entry)) return;
        entry.fail(reason);
        this.#advance(channel, lane);
      };
      lane.entries.add(entry);
      if (signal) forget = onAbort(signal, () => fail(signal.reason));
      if (!isPending) return;
      Promise.resolve(payload).then((payload) => {
        entry.encoded = { payload };
        this.#advance(channel, lane);
      }, fail);
    });
  }

  /** Number of messages that are not passed on yet. */
  get pending(): number {
    let count = 0;
    for (const { entries } of this.#lanes.values()) count += entries.size;
    return count;
  }

  /** Resolves once no message is being encoded. Rejects the messages that take too long. */
  async drain(): Promise<void> {
    if (this.#lanes.size === 0) return;
    const late = setTimeout(() => {
      for (const [channel, lane] of this.#lanes) this.#expire(channel, lane, Infinity);
    }, this.#limit);
    await new Promise<void>((resolve) => this.#drained = resolve);
    clearTimeout(late);
  }

  #open(channel: string, now: number): Lane {
    const lane: Lane = { entries: new Set(), since: now, timer: undefined };
    this.#lanes.set(channel, lane);
    this.#watch(channel, lane, this.#limit);
    return lane;
  }

  /** Sends the encoded messages, up to the first message that is not encoded. */
  #advance(channel: string, lane: Lane): void {
    for (const entry of lane.entries) {
      if (!entry.encoded) break;
      lane.entries.delete(entry);
      lane.since = performance.now();
      entry.send(entry.encoded.payload);
    }
    if (lane.entries.size > 0 || this.#lanes.get(channel) !== lane) return;
    clearTimeout(lane.timer);
    this.#lanes.delete(channel);
    if (this.#lanes.size === 0) this.#drained?.();
  }

  #watch(channel: string, lane: Lane, delay: number): void {
    lane.timer = setTimeout(() => {
      const oldest = performance.now() - this.#limit;
      if (lane.since <= oldest) this.#expire(channel, lane, oldest);
      if (lane.entries.size === 0) return;
      this.#watch(channel, lane, Math.max(1, lane.since - oldest));
    }, delay);
  }

  /** Rejects the messages whose encoding began at a time or earlier. */
  #expire(channel: string, lane: Lane, since: number): void {
    for (const entry of lane.entries) {
      if (entry.encoded || entry.since > since) continue;
      lane.entries.delete(entry);
      entry.fail(lateCodecError(`publish to ${nameOf(channel)}`, this.#limit));
    }
    const [first] = lane.entries;
    if (first) lane.since = first.since;
    this.#advance(channel, lane);
  }
}
