/**
 * One connection to a NATS server: its requests, its errors and its loss.
 *
 * @module
 */

import type { NatsConnection, Status, Subscription } from "@nats-io/transport-node";
import { ConnectionError, UnknownReplyError } from "../../core/backend/errors.ts";
import { unlessAborted } from "../../core/util/abort.ts";
import { inBackground } from "../../core/util/background.ts";
import { turn } from "../../core/util/timer.ts";
import { CLIENT_EVENTS, isDenied, meaningOfText, refused } from "./errors.ts";

/** The client may report earlier events up to this many microtasks after an answer. */
const LATE = 10;

/** The client's status events, until they are stopped. */
type Notices = AsyncIterable<Status> & { stop?(): void };

/** A value that is used with its subscription. */
export interface Begun {
  /** The subscription. */
  readonly subscription: Subscription;
}

/** One connection: the backend's own, or the user's until it is interrupted. */
export class Link {
  /** The client. */
  readonly client: NatsConnection;
  /** The name of the user, if it is known here. The server does not send it. */
  readonly user: string | undefined;
  /** Aborts with a `ConnectionError` when the connection is lost or closed. */
  readonly loss: AbortSignal;
  /**
   * Called with each subject that the user may not publish to. The subject is empty if the server
   * does not name it.
   */
  onDenied: (subject: string, error: Error) => void = () => {};
  readonly #borrowed: boolean;
  readonly #loss = new AbortController();
  readonly #notices: Notices;
  #reason: unknown;
  #confirming: Promise<void> | undefined;
  /** The latest refusal of a subscription that the server does not name. */
  #complaint: Error | undefined;
  /** An answer that is not in the table. */
  #unknown: UnknownReplyError | undefined;
  /** Whether a request was answered. */
  #hasAnswered = false;
  readonly #onComplaint = new Set<(error: Error) => void>();
  /** Functions that reject pending promises when the link is lost. */
  readonly #pending = new Set<(reason: unknown) => void>();
  /** The subscriptions that are opened one by one. */
  #queue: Promise<unknown> | undefined;

  /**
   * @param client A connected client.
   * @param borrowed Whether it is the user's client, which reconnects and is never closed.
   * @param user The name of the user, if it is known.
   */
  constructor(client: NatsConnection, borrowed: boolean, user?: string) {
    this.client = client;
    this.user = user;
    this.#borrowed = borrowed;
    this.loss = this.#loss.signal;
    this.#notices = client.status();
    this.#watch().catch((error) => this.cut(error));
    // The promise resolves without an error if the user has closed the client.
    inBackground(client.closed().then((error) => this.#lose(error)));
  }

  /** Whether the client is the user's. */
  get isBorrowed(): boolean {
    return this.#borrowed;
  }

  /** Whether the connection is lost. */
  get lost(): boolean {
    return this.loss.aborted;
  }

  /**
   * Resolves once the server has everything that is sent in this turn of the event loop. All
   * callers share one PING.
   */
  confirm(): Promise<void> {
    if (this.#confirming) return this.#confirming;
    this.#confirming = this.#confirm();
    this.#confirming.catch(() => {});
    return this.#confirming;
  }

  async #confirm(): Promise<void> {
    await undefined;
    this.#confirming = undefined;
    this.loss.throwIfAborted();
    await this.unlessLost(this.client.flush());
    for (let tick = 0; tick < LATE; tick++) await undefined;
  }

  /**
   * Settles as the promise does, or rejects when the link is lost, since the client never settles
   * some promises. A listener of the signal is not used: adding and removing one for each message
   * is slow.
   */
  unlessLost<Value>(promise: Promise<Value>): Promise<Value> {
    return new Promise((resolve, reject) => {
      if (this.lost) reject(this.loss.reason);
      else this.#pending.add(reject);
      promise.then((value) => {
        this.#pending.delete(reject);
        resolve(value);
      }, (error) => {
        this.#pending.delete(reject);
        reject(error);
      });
    });
  }

  /**
   * Subscribes. Resolves once the server has confirmed.
   *
   * All subscriptions of a turn share one PING. The server refuses a subscription over its limit
   * without naming it. All subscriptions that share the PING are then opened again, one by one.
   *
   * @param begin Subscribes. It may be called twice. Messages of the first subscription are then
   * dropped.
   * @throws {RefusedError} If the server refuses this subscription.
   */
  async subscribe<Value extends Begun>(begin: () => Value): Promise<Value> {
    if (!this.#queue) {
      const begun = await this.#attempt(begin);
      if ("subscription" in begun) return begun;
    }
    const turn = (this.#queue ?? Promise.resolve()).then(() => this.#attempt(begin));
    const queue = this.#queue = turn.catch(() => {}).finally(() => {
      if (this.#queue === queue) this.#queue = undefined;
    });
    const begun = await turn;
    if ("subscription" in begun) return begun;
    throw refused(begun.complaint);
  }

  async #attempt<Value extends Begun>(
    begin: () => Value,
  ): Promise<Value | { readonly complaint: Error }> {
    this.loss.throwIfAborted();
    const before = this.#complaint;
    const begun = begin();
    try {
      await this.confirm();
    } catch (error) {
      begun.subscription.unsubscribe();
      throw this.#unknown ?? error;
    }
    if (this.#complaint === before || begun.subscription.isClosed()) return begun;
    begun.subscription.unsubscribe();
    // The client may report other refusals of the same PING later than the first one. They must not
    // count against the subscriptions that follow.
    await turn();
    return { complaint: this.#complaint! };
  }

  /**
   * Makes a request, and settles like it. The client subscribes to answers with the first request.
   * If the server refuses that, the request rejects at once. Nothing is requested on a lost link: while a client closes, it takes a request that it
   * never settles, with a timer.
   */
  async unlessRefused<Value>(request: () => Promise<Value>): Promise<Value> {
    this.loss.throwIfAborted();
    // Later refusals are of other subscriptions.
    if (this.#hasAnswered) return await this.unlessLost(request());
    let complain!: (error: Error) => void;
    const complaint = new Promise<never>((_, reject) => {
      complain = (error) => reject(refused(error));
    });
    this.#onComplaint.add(complain);
    try {
      const value = await this.unlessLost(Promise.race([request(), complaint]));
      this.#hasAnswered = true;
      return value;
    } finally {
      this.#onComplaint.delete(complain);
    }
  }

  /** Sends a PING, and destroys the socket if it is not answered. */
  async probe(signal: AbortSignal): Promise<void> {
    if (this.lost) return;
    try {
      await unlessAborted(signal, this.confirm());
    } catch (error) {
      this.#lose(error);
      // The user's client continues with another socket.
      if (this.#borrowed) void this.client.reconnect().catch(() => {});
      else await this.client.close();
      throw this.loss.reason;
    }
  }

  /** Closes the client, unless it is the user's. Resolves once the socket is closed. */
  async close(): Promise<void> {
    this.#lose(undefined);
    this.#notices.stop?.();
    if (this.#borrowed) return;
    await this.client.close();
    await this.client.closed();
  }

  async #watch(): Promise<void> {
    for await (const status of this.#notices) {
      if (status.type === "error") this.#hear(status.error);
      else if (CLIENT_EVENTS[status.type] === "lost") this.#lose(this.#reason);
    }
  }

  /** Handles an `-ERR` of the server. */
  #hear(error: Error): void {
    const meaning = meaningOfText(error.message);
    const { operation, subject } = error as Error & { operation?: string; subject?: string };
    if (isDenied(error) && (operation !== "publish" || subject)) {
      // The client itself informs subscriptions.
      if (operation === "publish") this.onDenied(subject!, error);
    } else if (meaning === "fatal") {
      this.#complaint = error;
      for (const complain of [...this.#onComplaint]) complain(error);
    } else {
      this.#reason = error;
      if (meaning === undefined) this.#unknown = new UnknownReplyError(error.message);
      if (meaning === undefined || meaning === "lost") this.cut(error);
    }
  }

  /**
   * Gives the connection up, because the server refuses a necessary subscription, or sent an
   * unknown answer.
   */
  cut(cause: unknown): void {
    this.#lose(cause);
    // The user's client stays open.
    if (!this.#borrowed) void this.client.close().catch(() => {});
  }

  #lose(cause: unknown): void {
    if (this.lost) return;
    this.#loss.abort(new ConnectionError("the connection to the server was lost", { cause }));
    for (const reject of this.#pending) reject(this.loss.reason);
    this.#notices.stop?.();
  }
}
