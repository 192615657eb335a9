/**
 * A Redis subscriber that checks whether it receives published messages.
 *
 * @module
 */

import type { Redis } from "ioredis";
import { controlChannelOf } from "../../../core/backend/control_channel.ts";
import { type ConnectionError, reasonOf, RefusedError } from "../../../core/backend/errors.ts";
import { Loopback } from "../../../core/backend/kit/loopback.ts";
import type { QueueTail } from "../../../core/backend/kit/queue_tail.ts";
import { random } from "../../../core/util/random.ts";
import { redirectionOf } from "../errors.ts";
import type { Link } from "../link.ts";
import { type Kind, Subscriber, type SubscriberOptions } from "../subscriber.ts";

/** The reason if no token comes back. */
const SILENCE = "published messages do not reach the subscribers of the server: do all " +
  "connections lead to the same server? Use the address of the master, not of a load balancer";

/** The commands for tokens. */
export interface Echo {
  /** The command that subscribes. */
  readonly kind: Kind;
  /** The command that publishes. */
  readonly command: "publish" | "spublish";
  /** Whether the server of this connection owns a channel. */
  readonly isHere: (name: string) => boolean;
}

/** Options for a `HeardSubscriber`. */
export interface HeardOptions extends SubscriberOptions {
  /** The publishing connection. */
  readonly publisher: () => Link;
  /** The commands for tokens, once the connections are open. */
  readonly echo: () => Echo;
  /** Facts about earlier connections. */
  readonly memory: Memory;
}

/** Facts that a backend keeps about its connections. */
export interface Memory {
  /** Whether a token has ever come back. */
  wasProven: boolean;
}

/** A subscriber with its own channel for tokens. */
export class HeardSubscriber {
  readonly #subscriber: Subscriber;
  readonly #options: HeardOptions;
  readonly #loopback: Loopback;
  /** The channel of the tokens. */
  #channel = "";
  /** Settles once a token has come back, or the server has refused to send one. */
  #proof: Promise<void> | undefined;
  /** Whether both connections have answered since the last token was sent. */
  #isAnswered = false;

  /**
   * Opens the subscriber.
   *
   * @param client A client without a connection.
   * @param options Options for the subscriber.
   */
  constructor(client: Redis, options: HeardOptions) {
    this.#options = options;
    this.#loopback = new Loopback({ silence: SILENCE, send: (token) => this.#send(token) });
    this.#subscriber = new Subscriber(client, {
      ...options,
      onHeard: () => this.#loopback.hear(),
    });
  }

  /** Settles once the connection is open. */
  get ready(): Promise<void> {
    return this.#subscriber.ready;
  }

  /** Whether the connection has ended, or failed to open. */
  get lost(): boolean {
    return this.#subscriber.lost;
  }

  /** Opens a tail. Resolves once the server has confirmed and a token has come back. */
  async tail(kind: Kind, name: string): Promise<QueueTail> {
    await this.#prove();
    return await this.#subscriber.tail(kind, name);
  }

  /**
   * Sends PING, and a token if nothing else was received. Without an answer, the connections are
   * closed.
   */
  async probe(signal: AbortSignal): Promise<void> {
    await this.#subscriber.probe(signal);
    if (!this.#loopback.isProven) return;
    try {
      await this.#prove();
      await this.#loopback.probe(signal);
    } catch (error) {
      if (signal.aborted || isSilence(error)) throw this.#cut(error);
      // The server temporarily publishes nothing, or nothing of this user any more.
    }
  }

  /** Closes the connection. Resolves once the socket is closed. */
  async close(): Promise<void> {
    await this.#subscriber.close();
  }

  #prove(): Promise<void> {
    const { memory } = this.#options;
    const proof = this.#proof ??= this.#listen();
    proof.catch((error) => {
      this.#proof = undefined;
      if (isSilence(error) && memory.wasProven) this.#cut(error);
    });
    return proof;
  }

  async #listen(): Promise<void> {
    const { echo, memory, prefix = "" } = this.#options;
    await this.#subscriber.ready;
    const { kind, isHere } = echo();
    do {
      this.#channel = controlChannelOf(`${prefix}broadcaster-loopback:${random()}`);
    } while (!isHere(this.#channel));
    try {
      await this.#subscriber.listen(kind, this.#channel, {
        push: (item) => {
          if (item.kind === "record") this.#loopback.receive(`${item.payload}`);
        },
        // The slot has moved. The next token uses another slot.
        error: () => this.#proof = undefined,
      });
      await this.#loopback.prove(memory.wasProven);
      memory.wasProven ||= this.#loopback.isProven;
    } catch (error) {
      // If the connections are silent altogether, nothing is known about the setup.
      if (isSilence(error) && !this.#isAnswered) throw this.#cut(error);
      if (redirectionOf(error)) this.#proof = undefined;
      // A user without a right to this channel cannot be checked.
      else if (!(error instanceof RefusedError) || isSilence(error)) throw error;
    }
  }

  async #send(token: string): Promise<void> {
    const { echo, publisher } = this.#options;
    const link = publisher();
    this.#isAnswered = false;
    try {
      await link.client[echo().command](this.#channel, token);
    } catch (error) {
      throw link.explain(error);
    }
    await this.#subscriber.probe(new AbortController().signal);
    this.#isAnswered = true;
  }

  /** Ends both connections, since either may lead to the wrong server. */
  #cut(error: unknown): ConnectionError {
    this.#options.publisher().cut(error);
    return this.#subscriber.cut(error);
  }
}

function isSilence(error: unknown): boolean {
  return reasonOf(error) === SILENCE;
}
