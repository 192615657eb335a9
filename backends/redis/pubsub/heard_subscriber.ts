/**
 * A Redis subscriber that proves that it hears what is published.
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

/** The reason if nothing comes back. */
const SILENCE = "what is published at the server does not reach its subscribers: do all " +
  "connections lead to the same server? Use the address of the master, not of a load balancer";

/** How tokens travel. */
export interface Echo {
  /** The command that subscribes. */
  readonly kind: Kind;
  /** The command that publishes. */
  readonly command: "publish" | "spublish";
  /** Whether the server of this connection has a channel. */
  readonly isHere: (name: string) => boolean;
}

/** Options for a subscriber that proves what it hears. */
export interface HeardOptions extends SubscriberOptions {
  /** The connection that publishes. */
  readonly publisher: () => Link;
  /** How tokens travel, once the connections are open. */
  readonly echo: () => Echo;
  /** What is known of earlier connections. */
  readonly memory: Memory;
}

/** What a backend knows about its connections, whichever it has. */
export interface Memory {
  /** Whether a token has ever come back. */
  wasProven: boolean;
}

/** A subscriber, with a channel of its own on which it hears itself. */
export class HeardSubscriber {
  readonly #subscriber: Subscriber;
  readonly #options: HeardOptions;
  readonly #loopback: Loopback;
  /** The channel of the tokens. */
  #channel = "";
  /** Settles once a token has come back, or the user turns out to have no right to send one. */
  #proof: Promise<void> | undefined;
  /** Whether both connections have answered since the last token was sent. */
  #isAnswered = false;

  /**
   * Opens it.
   *
   * @param client A client that is not connected.
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

  /** Settles once it is open. */
  get ready(): Promise<void> {
    return this.#subscriber.ready;
  }

  /** Whether the connection has ended, or failed to open. */
  get lost(): boolean {
    return this.#subscriber.lost;
  }

  /** A tail, once the server has confirmed, and once it is known that the subscriber hears. */
  async tail(kind: Kind, name: string): Promise<QueueTail> {
    await this.#prove();
    return await this.#subscriber.tail(kind, name);
  }

  /** PING, and a token if nothing else was heard. Without an answer the connections are cut. */
  async probe(signal: AbortSignal): Promise<void> {
    await this.#subscriber.probe(signal);
    if (!this.#loopback.isProven) return;
    try {
      await this.#prove();
      await this.#loopback.probe(signal);
    } catch (error) {
      if (signal.aborted || isSilence(error)) throw this.#cut(error);
      // The server publishes nothing for now, or nothing of this user any more.
    }
  }

  /** Resolves with the socket shut. */
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
        // Its slot has moved: the next one is in another.
        error: () => this.#proof = undefined,
      });
      await this.#loopback.prove(memory.wasProven);
      memory.wasProven ||= this.#loopback.isProven;
    } catch (error) {
      // Nothing is known about a setup whose connections are silent altogether.
      if (isSilence(error) && !this.#isAnswered) throw this.#cut(error);
      if (redirectionOf(error)) this.#proof = undefined;
      // A user without a right to this channel cannot prove anything.
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

  /** Both connections: either may lead to the wrong server. */
  #cut(error: unknown): ConnectionError {
    this.#options.publisher().cut(error);
    return this.#subscriber.cut(error);
  }
}

function isSilence(error: unknown): boolean {
  return reasonOf(error) === SILENCE;
}
