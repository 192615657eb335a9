/**
 * One connection to a NATS server: its requests, its errors and its loss.
 *
 * @module
 */

import type { NatsConnection, Status } from "@nats-io/transport-node";
import { ConnectionError } from "../../core/backend/errors.ts";
import { unlessAborted } from "../../core/util/abort.ts";

/** How many microtasks later than an answer the client tells of what came before it, at most. */
const LATE = 10;

/** What the client tells, until it is stopped. */
type Notices = AsyncIterable<Status> & { stop?(): void };

/** One connection: of our own, or the user's until it is interrupted. */
export class Link {
  /** The client. */
  readonly client: NatsConnection;
  /** Aborts, with a `ConnectionError`, when it is lost or closed. */
  readonly loss: AbortSignal;
  /** Told of each subject that must not be published to. */
  onDenied: (subject: string, error: Error) => void = () => {};
  readonly #borrowed: boolean;
  readonly #loss = new AbortController();
  readonly #notices: Notices;
  #reason: unknown;
  #confirming: Promise<void> | undefined;

  /**
   * @param client A client that is connected.
   * @param borrowed Whether it is the user's: it reconnects, and is never closed.
   */
  constructor(client: NatsConnection, borrowed: boolean) {
    this.client = client;
    this.#borrowed = borrowed;
    this.loss = this.#loss.signal;
    this.#notices = client.status();
    void this.#watch();
    // Without an error, whoever has closed it.
    void client.closed().then((error) => this.#lose(error));
  }

  /** Whether it is of no more use. */
  get lost(): boolean {
    return this.loss.aborted;
  }

  /**
   * Resolves once the server has all that was sent in this turn of the event
   * loop: one PING for all who ask. What is sent behind the call goes with it.
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

  /** Settles as the promise does, unless the link is lost first: the client leaves some pending. */
  async unlessLost<Value>(promise: Promise<Value>): Promise<Value> {
    try {
      return await unlessAborted(this.loss, promise);
    } catch (error) {
      this.loss.throwIfAborted();
      throw error;
    }
  }

  /** PING; without an answer the socket is cut. */
  async probe(signal: AbortSignal): Promise<void> {
    if (this.lost) return;
    try {
      await unlessAborted(signal, this.confirm());
    } catch (error) {
      this.#lose(error);
      // The user's own goes on with another socket.
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
      if (status.type === "disconnect") this.#lose(this.#reason);
      else if (status.type === "error") this.#hear(status.error);
    }
  }

  #hear(error: Error): void {
    const { name, operation, subject } = error as Error & { operation?: string; subject?: string };
    if (name !== "PermissionViolationError") this.#reason = error;
    else if (operation === "publish") this.onDenied(subject!, error);
  }

  #lose(cause: unknown): void {
    if (this.lost) return;
    this.#loss.abort(new ConnectionError("the connection to the server was lost", { cause }));
    this.#notices.stop?.();
  }
}
