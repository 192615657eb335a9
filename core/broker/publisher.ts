/**
 * Publishes messages in order: batches each turn of the event loop, waits while reconnecting, and
 * retries messages with a key.
 *
 * @module
 */

import type { Backend, OutgoingPayload } from "../backend/contract.ts";
import { ConnectionError, isSameReply, TemporaryError } from "../backend/errors.ts";
import { Scope } from "../backend/id.ts";
import type { Position } from "../backend/position.ts";
import { inBackground } from "../util/background.ts";
import { backoff } from "../util/backoff.ts";
import { LONGEST, soon, turn } from "../util/timer.ts";
import type { Capabilities } from "./capabilities.ts";
import type { Connection } from "./connection.ts";
import { HeldChannels } from "./held_channels.ts";
import { doubtError, lateError, Outgoing, postponedError, publishError } from "./outgoing.ts";
import { Unanswered } from "./unanswered.ts";

/** The maximum number of scopes to keep. */
const SCOPES = 1_000;

/** Number of messages within this process after which the event loop gets a turn. */
const TURN = 128;

/**
 * Publishes the messages of one turn of the event loop together, in order. Without a connection
 * they wait, in order and up to a timeout.
 */
export class Publisher {
  readonly #connection: Connection;
  readonly #timeout: number;
  readonly #capabilities: Capabilities;
  readonly #onAccepted: (channel: string) => void;
  /** Number of messages that the broker has accepted. */
  accepted = 0;
  #count = 0;
  /** The messages of this turn of the event loop. */
  #given: Outgoing[] = [];
  /** The messages that wait for a connection. */
  readonly #waiting = new Set<Outgoing>();
  readonly #unanswered = new Unanswered();
  readonly #held: HeldChannels;
  /** The scopes of the channels that were published to recently. */
  readonly #scopes = new Map<string, Scope>();
  #flushing = false;
  #underway = 0;
  #drained: (() => void)[] = [];

  /**
   * @param connection The connection to publish on.
   * @param timeout The time that a message waits for a connection, in milliseconds.
   * @param capabilities Checks the options of messages.
   * @param onAccepted Called for each message that the broker has accepted.
   */
  constructor(
    connection: Connection,
    timeout: number,
    capabilities: Capabilities,
    onAccepted: (channel: string) => void,
  ) {
    this.#onAccepted = onAccepted;
    this.#connection = connection;
    this.#timeout = timeout;
    this.#capabilities = capabilities;
    this.#held = new HeldChannels({
      ready: async (attempt) => {
        await backoff(attempt, connection.closing);
        await connection.restored();
      },
      isReady: () => connection.up,
      isUnanswered: (channel) => this.#unanswered.has(channel),
      limit: (entry, channel) =>
        entry.limit(timeout, () => {
          // The pending answer decides. Without it, the outcome would be unknown.
          if (entry.state === "sent") entry.isLate = true;
          else entry.fail(postponedError(entry, connection.address, timeout, channel.reason));
        }),
      send: (entry) => this.#send(connection.backend!, [entry]),
      release: (entries) => {
        for (const entry of entries) this.#waiting.add(entry);
        this.#schedule();
      },
      fail,
    });
  }

  /** Number of messages that have no outcome yet. */
  get pending(): number {
    return this.#underway;
  }

  /** Resolves with the id of the message, if known, once the broker has accepted it. */
  publish(message: OutgoingPayload, signal?: AbortSignal): Promise<string | undefined> {
    const { backend, whole } = this.#connection;
    if (whole && isLocal(backend!) && this.#underway === 0) {
      return this.#passOn(backend!, message, signal);
    }
    return new Promise((resolve, reject) => {
      const entry = new Outgoing(message, this.#count++, resolve, reject, this.#onSettled);
      this.#underway++;
      // Messages that the backend cannot carry are rejected before they wait.
      if (backend && !this.#check(backend, entry, whole)) return;
      entry.follow(signal);
      // An array literal allocates room for one entry, but a growing array for seventeen.
      if (whole && this.#given.length === 0) this.#given = [entry];
      else if (whole) this.#given.push(entry);
      else this.#hold(entry);
      this.#schedule();
    });
  }

  /** Passes a message to a backend in this process, without batching. */
  #passOn(
    backend: Backend,
    message: OutgoingPayload,
    signal: AbortSignal | undefined,
  ): Promise<string | undefined> {
    this.#capabilities.checkPublishing(backend, message);
    backend.check?.(message.channel, message.payload, message);
    const answers = handed(backend, [message]);
    const answer = "then" in answers ? answers : answers[0];
    if (answer === null || answer && "places" in answer) {
      this.#countAccepted(message.channel);
      const id = answer ? this.#scopeOf(backend, message.channel).id(answer) : undefined;
      // A loop that only awaits `publish()` would otherwise starve readers, and all input and output
      // of the process.
      return this.accepted % TURN === 0 ? turn().then(() => id) : Promise.resolve(id);
    }
    return new Promise((resolve, reject) => {
      const entry = new Outgoing(message, this.#count++, resolve, reject, this.#onSettled);
      this.#underway++;
      entry.follow(signal);
      entry.send();
      this.#await(backend, entry, answer, this.#connection.generation);
    });
  }

  /** Resolves once all messages are settled, or after the timeout. */
  drain(): Promise<void> {
    if (this.#underway === 0) return Promise.resolve();
    return new Promise((resolve) => {
      // Messages without an acknowledgement fail when the connection is closed afterwards.
      const timer = setTimeout(resolve, Math.min(this.#timeout, LONGEST));
      this.#drained.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  #countAccepted(channel: string): void {
    this.accepted++;
    this.#onAccepted(channel);
  }

  #schedule(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    soon(this.#flush);
  }

  readonly #flush = (): void => {
    const { backend, whole } = this.#connection;
    if (!whole) return inBackground(this.#restore());
    this.#flushing = false;
    this.#send(backend!, this.#held.without(this.#taken()));
  };

  async #restore(): Promise<void> {
    for (const entry of this.#taken()) if (entry.state !== "settled") this.#hold(entry);
    try {
      await this.#connection.restored();
    } catch (error) {
      this.#flushing = false;
      for (const entry of this.#taken()) fail(entry, error);
      return;
    }
    this.#flush();
  }

  /** Passes messages to the backend, all channels together. */
  #send(backend: Backend, taken: readonly Outgoing[]): void {
    const entries = this.#begun(backend, taken);
    const { length } = entries;
    if (length === 0) return;
    const { generation } = this.#connection;
    const messages = new Array<OutgoingPayload>(length);
    for (let index = 0; index < length; index++) messages[index] = entries[index]!.message;
    const answers = handed(backend, messages);
    for (let index = 0; index < length; index++) {
      const answer = "then" in answers ? answers : answers[index];
      if (answer === null) entries[index]!.succeed(undefined);
      else if (answer && "places" in answer) this.#accept(backend, entries[index]!, answer);
      else this.#await(backend, entries[index]!, answer, generation);
    }
  }

  /** The messages to send. Usually these are all, so no other array is made. */
  #begun(backend: Backend, taken: readonly Outgoing[]): readonly Outgoing[] {
    for (let index = 0; index < taken.length; index++) {
      if (this.#begin(backend, taken[index]!)) continue;
      const rest = taken.slice(index + 1).filter((entry) => this.#begin(backend, entry));
      return [...taken.slice(0, index), ...rest];
    }
    return taken;
  }

  /**
   * Waits for the answer. `answer.then()` is not used, since a faulty backend may return any value.
   */
  #await(
    backend: Backend,
    entry: Outgoing,
    answer: Promise<Position | undefined | void> | undefined,
    generation: number,
  ): void {
    Promise.resolve(answer ?? Promise.reject(new TypeError(NO_ANSWER))).then(
      (position) => this.#accept(backend, entry, position ?? undefined),
      (reason) => this.#refuse(backend, entry, reason, generation),
    );
  }

  /** Prepares a message for the backend. Returns `false` if it must not be sent. */
  #begin(backend: Backend, entry: Outgoing): boolean {
    if (entry.state === "settled" || !this.#check(backend, entry, true)) return false;
    if (entry.state === "lost" && entry.timeLeft(backend.window) <= 0) {
      entry.fail(publishError(backend, entry, entry.loss));
      return false;
    }
    if (entry.refusal && entry.mayBeOvertaken) {
      entry.fail(publishError(backend, entry, entry.refusal));
      return false;
    }
    // A backend without connections has neither losses nor temporary errors.
    if (backend.connect && entry.state !== "lost") this.#unanswered.add(entry);
    entry.send();
    return true;
  }

  /** Takes all messages to send, in the order of the calls to `publish()`. */
  #taken(): Outgoing[] {
    const given = this.#given;
    this.#given = [];
    if (this.#waiting.size === 0) return given;
    const entries = [...this.#waiting, ...given];
    this.#waiting.clear();
    return entries.sort((one, other) => one.number - other.number);
  }

  #accept(backend: Backend, entry: Outgoing, position: Position | undefined): void {
    if (!position) return entry.succeed(undefined);
    try {
      entry.succeed(this.#scopeOf(backend, entry.message.channel).id(position));
    } catch (error) {
      // The backend returned an invalid place.
      entry.fail(error);
    }
  }

  #scopeOf({ name }: Backend, channel: string): Scope {
    let scope = this.#scopes.get(channel);
    if (scope) return scope;
    if (this.#scopes.size === SCOPES) this.#scopes.clear();
    this.#scopes.set(channel, scope = new Scope(name, channel));
    return scope;
  }

  /**
   * Retries a message after a temporary error, or after a lost connection if a key makes the retry
   * safe. Fails it otherwise.
   */
  #refuse(backend: Backend, entry: Outgoing, reason: unknown, generation: number): void {
    if (reason instanceof TemporaryError) return this.#postpone(backend, entry, reason);
    const isLost = reason instanceof ConnectionError;
    if (isLost) this.#connection.lose(generation, reason);
    if (!isLost || entry.timeLeft(backend.window) <= 0) {
      return entry.fail(publishError(backend, entry, reason));
    }
    if (entry.state === "settled") return;
    entry.lose(reason);
    this.#unanswered.overtake(entry);
    if (this.#held.join(entry)) return;
    this.#hold(entry);
    this.#schedule();
  }

  /** Makes a message, and the later messages of its channel, wait until the broker can store it. */
  #postpone(backend: Backend, entry: Outgoing, reason: TemporaryError): void {
    if (entry.state === "settled") return;
    if (entry.mayBeOvertaken || isSameReply(entry.refusal, reason)) {
      return entry.fail(publishError(backend, entry, reason));
    }
    entry.postpone(reason);
    if (entry.isLate) {
      return entry.fail(postponedError(entry, this.#connection.address, this.#timeout, reason));
    }
    this.#held.hold(entry, reason);
  }

  /** Makes a message wait for a connection, up to its limit. */
  #hold(entry: Outgoing): void {
    this.#waiting.add(entry);
    this.#limit(entry);
  }

  /**
   * Checks a message. Checks it again once connected, since the backend then knows the server's
   * limits.
   */
  #check(backend: Backend, entry: Outgoing, isConnected: boolean): boolean {
    if (entry.state !== "new") return true;
    try {
      const { channel, payload } = entry.message;
      this.#capabilities.checkPublishing(backend, entry.message);
      backend.check?.(channel, payload, entry.message);
      if (isConnected) entry.approve();
      return true;
    } catch (error) {
      entry.fail(error);
      return false;
    }
  }

  #limit(entry: Outgoing): void {
    const { address, backend, error, state } = this.#connection;
    // The first connection has its own timeout, and its own error if it fails.
    if (state === "idle" || state === "connecting") return;
    const limit = entry.wasSent
      ? Math.min(this.#timeout, entry.timeLeft(backend?.window))
      : this.#timeout;
    entry.limit(limit, () => entry.fail(lateError(entry, address, limit, error)));
  }

  readonly #onSettled = (entry: Outgoing): void => {
    // A message that failed while waiting is released at once.
    this.#waiting.delete(entry);
    if (entry.mayBeStored) this.#unanswered.overtake(entry);
    this.#unanswered.delete(entry);
    this.#held.answered(entry);
    if (entry.isAccepted) this.#countAccepted(entry.message.channel);
    if (--this.#underway > 0 || this.#drained.length === 0) return;
    for (const resolve of this.#drained.splice(0)) resolve();
  };
}

/**
 * Returns `true` for a backend in this process. It has no round trips to share, and nothing is lost
 * or temporarily refused.
 */
function isLocal({ features, connect }: Backend): boolean {
  return !features.crossProcess && !connect;
}

/** Fails a waiting message, since the connection is closed or could not be opened. */
function fail(entry: Outgoing, error: unknown): void {
  entry.fail(entry.wasSent ? doubtError(entry, error) : error);
}

/** The reason for a message without an answer, which is a fault of the backend. */
const NO_ANSWER = "the backend's publish() returned no promise for the message";

/** Passes messages to the backend. An error that it throws counts as a rejection. */
function handed(
  backend: Backend,
  messages: readonly OutgoingPayload[],
): ReturnType<Backend["publish"]> {
  try {
    return backend.publish(messages) ?? Promise.reject(new TypeError(NO_ANSWER));
  } catch (error) {
    return Promise.reject(error);
  }
}
