/**
 * One connection to a NATS server: its requests, its errors and its loss.
 *
 * @module
 */

import type { NatsConnection, Status } from "@nats-io/transport-node";
import { ConnectionError } from "../../core/backend/errors.ts";
import { unlessAborted } from "../../core/util/abort.ts";
import { isDenied } from "./errors.ts";

/** The client reports what came before an answer at most so many microtasks after the answer. */
const LATE = 10;

/** The client's status events, until they are stopped. */
type Notices = AsyncIterable<Status> & { stop?(): void };

/** One connection: our own, or the user's until that is interrupted. */
export class Link {
  /** The client. */
  readonly client: NatsConnection;
  /** Aborts, with a `ConnectionError`, when it is lost or closed. */
  readonly loss: AbortSignal;
  /** Called with each subject that the user has no right to publish to. */
  onDenied: (subject: string, error: Error) => void = () => {};
  readonly #borrowed: boolean;
  readonly #loss = new AbortController();
  readonly #notices: Notices;
  #reason: unknown;
  #confirming: Promise<void> | undefined;

  /**
   * @param client A client that is connected.
   * @param borrowed Whether it is the user's: that one reconnects, and is never closed.
   */
  constructor(client: NatsConnection, borrowed: boolean) {
    this.client = client;
    this.#borrowed = borrowed;
    this.loss = this.#loss.signal;
    this.#notices = client.status();
    void this.#watch();
    // It also resolves without an error if the user has closed the client.
    void client.closed().then((error) => this.#lose(error));
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

  /** Settles as the promise does, or rejects when the link is lost: the client leaves some pending. */
  async unlessLost<Value>(promise: Promise<Value>): Promise<Value> {
    try {
      return await unlessAborted(this.loss, promise);
    } catch (error) {
      this.loss.throwIfAborted();
      throw error;
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
      if (status.type === "disconnect") this.#lose(this.#reason);
      else if (status.type === "error") this.#hear(status.error);
    }
  }

  #hear(error: Error): void {
    const { operation, subject } = error as Error & { operation?: string; subject?: string };
    if (!isDenied(error)) this.#reason = error;
    else if (operation === "publish") this.onDenied(subject!, error);
  }

  #lose(cause: unknown): void {
    if (this.lost) return;
    this.#loss.abort(new ConnectionError("the connection to the server was lost", { cause }));
    this.#notices.stop?.();
  }
}
