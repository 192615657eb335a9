/**
 * The way of a message to its backend.
 *
 * @module
 */

import { checkPublishing } from "./ability.ts";
import { onAbort } from "./abort.ts";
import type { Backend, Payload, PayloadOptions } from "./backend.ts";
import type { Connection } from "./connection.ts";
import { Position } from "./position.ts";
import { ConnectionError, OutcomeUnknownError, reasonOf, RefusedError } from "./errors.ts";
import { LONGEST } from "./timer.ts";

/**
 * Publishes what is given in one go together, in order. While there is no
 * connection, payloads wait in their order, up to a limit of time.
 */
export class Publisher {
  readonly #connection: Connection;
  readonly #timeout: number;
  #waiting = new Set<Entry>();
  #flushing = false;
  #underway = 0;
  #drained: (() => void)[] = [];

  /**
   * @param connection Where it publishes.
   * @param timeout How long a payload waits for a connection, in milliseconds.
   */
  constructor(connection: Connection, timeout: number) {
    this.#connection = connection;
    this.#timeout = timeout;
  }

  /** Resolves once the broker has accepted the payload: with its position, where that is known. */
  publish(message: Outgoing, signal?: AbortSignal): Promise<Position | undefined> {
    return new Promise((resolve, reject) => {
      const entry = new Entry(message, resolve, reject);
      // What the backend cannot carry is refused before it waits, not behind.
      if (!this.#check(this.#connection.backend, entry)) return;
      this.#underway++;
      entry.onSettled = () => {
        // One that was turned away is not held until there is a connection.
        this.#waiting.delete(entry);
        this.#settled();
      };
      entry.heed(signal);
      this.#waiting.add(entry);
      if (!this.#connection.whole) this.#limit(entry);
      this.#schedule();
    });
  }

  /** Resolves once all that was accepted for publishing is settled, or has had its time. */
  drain(): Promise<void> {
    if (this.#underway === 0) return Promise.resolve();
    return new Promise((resolve) => {
      // What was sent and is never answered fails when the connection is closed behind this.
      const timer = setTimeout(resolve, Math.min(this.#timeout, LONGEST));
      this.#drained.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  #schedule(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => this.#flush());
  }

  async #flush(): Promise<void> {
    const connection = this.#connection;
    while (!connection.whole) {
      for (const entry of this.#waiting) this.#limit(entry);
      try {
        await connection.restored();
      } catch (error) {
        this.#flushing = false;
        for (const entry of this.#waiting) entry.fail(entry.sent ? doubtOf(entry, error) : error);
        return;
      }
    }
    this.#flushing = false;
    this.#send(connection.backend!);
  }

  #send(backend: Backend): void {
    const batches = new Map<string, Entry[]>();
    const waiting = this.#waiting;
    this.#waiting = new Set();
    for (const entry of waiting) {
      if (entry.settled || !this.#check(backend, entry)) continue;
      entry.send();
      const { channel } = entry.message;
      const batch = batches.get(channel);
      if (batch) batch.push(entry);
      else batches.set(channel, [entry]);
    }
    const { generation } = this.#connection;
    for (const [channel, entries] of batches) {
      const refuse = (entry: Entry, reason: unknown) => {
        const isLost = reason instanceof ConnectionError;
        if (isLost) this.#connection.lose(generation, reason);
        if (isLost && entry.message.options?.once) this.#again(entry);
        else entry.fail(publishError(backend, channel, reason));
      };
      const answers = hand(backend, channel, entries);
      entries.forEach((entry, index) => {
        const answer: unknown = Array.isArray(answers) ? answers[index] : answers;
        Promise.resolve(answer).then(
          (position) => entry.succeed(position instanceof Position ? position : undefined),
          (reason) => refuse(entry, reason),
        );
      });
    }
  }

  /**
   * What has a key is sent again: stored or not, it is stored once. It keeps its
   * order, since what was sent behind it is stored only if it is.
   */
  #again(entry: Entry): void {
    if (entry.settled) return;
    const isBehind = ({ number }: Entry) => number > entry.number;
    const behind = [...this.#waiting].filter(isBehind);
    for (const other of behind) this.#waiting.delete(other);
    for (const other of [entry, ...behind]) this.#waiting.add(other);
    this.#limit(entry);
    this.#schedule();
  }

  #check(backend: Backend | undefined, entry: Entry): boolean {
    if (!backend || entry.checked) return true;
    // Not connected, it does not know what the server takes.
    entry.checked = this.#connection.whole;
    try {
      const { channel, payload, options } = entry.message;
      if (options) checkPublishing(backend, channel, options);
      backend.check?.(channel, payload, options);
      return true;
    } catch (error) {
      entry.fail(error);
      return false;
    }
  }

  #limit(entry: Entry): void {
    const { address, error, state } = this.#connection;
    // A first connection has limits of its own, and a reason when it fails.
    if (state === "idle" || state === "connecting") return;
    const limit = Math.min(this.#timeout, entry.message.options?.once?.expires ?? Infinity);
    entry.timer ??= setTimeout(() => {
      entry.fail(lateError(entry, address, limit, error));
    }, Math.min(limit, LONGEST));
  }

  #settled(): void {
    if (--this.#underway > 0) return;
    for (const resolve of this.#drained.splice(0)) resolve();
  }
}

/** What a backend throws at once counts as what it rejects with. */
function hand(
  backend: Backend,
  channel: string,
  entries: readonly Entry[],
): ReturnType<Backend["publish"]> {
  const isPlain = entries.every(({ message }) => message.options === undefined);
  try {
    return backend.publish(
      channel,
      entries.map(({ message }) => message.payload),
      isPlain ? undefined : entries.map(({ message }) => message.options),
    );
  } catch (error) {
    return Promise.reject(error);
  }
}

/** What is to be published. */
export interface Outgoing {
  /** Where. */
  readonly channel: string;
  /** What. */
  readonly payload: Payload;
  /** What is asked for besides. */
  readonly options?: PayloadOptions | undefined;
}

/** A payload on its way, and who waits for it. */
class Entry {
  static #count = 0;
  readonly message: Outgoing;
  /** Tells what was given to be published first. */
  readonly number: number = Entry.#count++;
  readonly #resolve: (position: Position | undefined) => void;
  readonly #reject: (reason: unknown) => void;
  /** Whether the backend has been asked about it. */
  checked = false;
  /** Whether it was given to the backend. */
  sent = false;
  /** Whether its outcome has been told. */
  settled = false;
  /** Ends its waiting. */
  timer: ReturnType<typeof setTimeout> | undefined;
  /** Called once its outcome has been told. */
  onSettled: () => void = () => {};
  #unheed: () => void = () => {};

  constructor(
    message: Outgoing,
    resolve: (position: Position | undefined) => void,
    reject: (reason: unknown) => void,
  ) {
    this.message = message;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  /** It waits no longer; sent again, it still has only the time that it had. */
  send(): void {
    if (!this.sent) clearTimeout(this.timer);
    if (!this.sent) this.timer = undefined;
    this.sent = true;
  }

  /** Aborted, it fails at once; if it still waits, it is never sent. */
  heed(signal: AbortSignal | undefined): void {
    if (signal) this.#unheed = onAbort(signal, () => this.fail(signal.reason));
  }

  succeed(position: Position | undefined): void {
    this.#settle(() => this.#resolve(position));
  }

  fail(reason: unknown): void {
    this.#settle(() => this.#reject(reason));
  }

  #settle(tell: () => void): void {
    if (this.settled) return;
    this.settled = true;
    clearTimeout(this.timer);
    this.#unheed();
    tell();
    this.onSettled();
  }
}

/** Why a payload waits no longer. */
function lateError({ message, sent }: Entry, address: string, limit: number, cause: unknown) {
  const { channel } = message;
  const time = `${limit / 1000} s`;
  return sent
    ? new OutcomeUnknownError(
      `Cannot confirm message to "${channel}": ${address} did not answer for ${time}, it may or may not be published`,
      { cause },
    )
    : new ConnectionError(
      `Cannot publish to "${channel}": not connected to ${address} for ${time}, the message was not sent`,
      { cause },
    );
}

/** Why it is not known what has become of a payload that was to be sent again. */
function doubtOf({ message }: Entry, cause: unknown): Error {
  return new OutcomeUnknownError(
    `Cannot confirm message to "${message.channel}": ${
      reasonOf(cause)
    }, it may or may not be published`,
    { cause },
  );
}

/** Wraps, once, what a backend threw while it published. */
function publishError(backend: Backend, channel: string, cause: unknown): Error {
  if (cause instanceof ConnectionError) {
    return new OutcomeUnknownError(
      `Cannot confirm message to "${channel}": the connection to ${backend.address} was lost before it answered, it may or may not be published`,
      { cause },
    );
  }
  if (cause instanceof TypeError || cause instanceof RangeError) return cause;
  return new RefusedError(`Cannot publish to "${channel}": ${reasonOf(cause)}`, { cause });
}
