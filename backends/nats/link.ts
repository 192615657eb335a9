/**
 * One connection to a NATS server: its requests, its errors and its loss.
 *
 * @module
 */

import type { NatsConnection, Status, Subscription } from "@nats-io/transport-node";
import { ConnectionError, UnknownReplyError } from "../../core/backend/errors.ts";
import { unlessAborted } from "../../core/util/abort.ts";
import { inBackground } from "../../core/util/background.ts";
import { CLIENT_EVENTS, isDenied, meaningOfText, refused } from "./errors.ts";

/** The client reports what came before an answer at most so many microtasks after the answer. */
const LATE = 10;

/** The client's status events, until they are stopped. */
type Notices = AsyncIterable<Status> & { stop?(): void };

/** Something that needs a subscription to begin. */
export interface Begun {
  /** Its subscription. */
  readonly subscription: Subscription;
}

/** One connection: our own, or the user's until that is interrupted. */
export class Link {
  /** The client. */
  readonly client: NatsConnection;
  /** Aborts, with a `ConnectionError`, when it is lost or closed. */
  readonly loss: AbortSignal;
  /**
   * Called with each subject that the user has no right to publish to; with an empty one if the
   * server does not say which.
   */
  onDenied: (subject: string, error: Error) => void = () => {};
  readonly #borrowed: boolean;
  readonly #loss = new AbortController();
  readonly #notices: Notices;
  #reason: unknown;
  #confirming: Promise<void> | undefined;
  /** The latest refusal of a subscription that does not say of which. */
  #complaint: Error | undefined;
  /** An answer that the table does not know. */
  #unknown: UnknownReplyError | undefined;
  readonly #onComplaint = new Set<(error: Error) => void>();
  /** Rejects what is to be settled before the link is lost. */
  readonly #pending = new Set<(reason: unknown) => void>();
  /** The subscriptions that are opened one by one. */
  #queue: Promise<unknown> | undefined;

  /**
   * @param client A client that is connected.
   * @param borrowed Whether it is the user's: that one reconnects, and is never closed.
   */
  constructor(client: NatsConnection, borrowed: boolean) {
    this.client = client;
    this.#borrowed = borrowed;
    this.loss = this.#loss.signal;
    this.#notices = client.status();
    this.#watch().catch((error) => this.cut(error));
    // It also resolves without an error if the user has closed the client.
    inBackground(client.closed().then((error) => this.#lose(error)));
  }

  /** Whether it is the user's. */
  get isBorrowed(): boolean {
    return this.#borrowed;
  }

  /** Whether it is of no more use. */
  get lost(): boolean {
    return this.loss.aborted;
  }

  /**
   * Resolves once the server has all that was sent in this turn of the event loop, after the call
   * too: one PING for all who ask.
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
   * Settles as the promise does, or rejects when the link is lost: the client leaves some pending.
   * Not by a listener of the signal: one that comes and goes with each message is slow.
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
   * All who subscribe in a turn share one PING. The server refuses a subscription over its limit
   * without saying which one: those that share the PING are opened again then, one by one.
   *
   * @param begin Subscribes. It may be called twice: what the first subscription has heard is lost.
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
    return { complaint: this.#complaint! };
  }

  /** Settles as a request does; rejects at once if the server refuses the subscription for answers. */
  async unlessRefused<Value>(request: Promise<Value>): Promise<Value> {
    let complain!: (error: Error) => void;
    const complaint = new Promise<never>((_, reject) => {
      complain = (error) => reject(refused(error));
    });
    this.#onComplaint.add(complain);
    try {
      return await this.unlessLost(Promise.race([request, complaint]));
    } finally {
      this.#onComplaint.delete(complain);
    }
  }

  /** Sends a PING, and cuts the socket if it is not answered. */
  async probe(signal: AbortSignal): Promise<void> {
    if (this.lost) return;
    try {
      await unlessAborted(signal, this.confirm());
    } catch (error) {
      this.#lose(error);
      // The user's client goes on with another socket.
      if (this.#borrowed) void this.client.reconnect().catch(() => {});
      else await this.client.close();
      throw this.loss.reason;
    }
  }

  /** Resolves with the socket shut, unless it is the user's. */
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

  /** Takes an `-ERR` of the server. */
  #hear(error: Error): void {
    const meaning = meaningOfText(error.message);
    const { operation, subject } = error as Error & { operation?: string; subject?: string };
    if (isDenied(error) && (operation !== "publish" || subject)) {
      // The client tells subscriptions itself.
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

  /** Gives it up: what it is needed for is refused, or it is not known what was answered. */
  cut(cause: unknown): void {
    this.#lose(cause);
    // The user's client goes on.
    if (!this.#borrowed) void this.client.close().catch(() => {});
  }

  #lose(cause: unknown): void {
    if (this.lost) return;
    this.#loss.abort(new ConnectionError("the connection to the server was lost", { cause }));
    for (const reject of this.#pending) reject(this.loss.reason);
    this.#notices.stop?.();
  }
}
