/**
 * The sentinel: a queue that stands for all queues of a connection. Tokens prove that what this
 * process publishes reaches it.
 *
 * @module
 */

import { controlChannelOf } from "../../core/backend/control_channel.ts";
import { RefusedError } from "../../core/backend/errors.ts";
import { Loopback } from "../../core/backend/kit/loopback.ts";
import { random } from "../../core/util/random.ts";
import type { Link } from "./link.ts";
import type { Links } from "./links.ts";

/** The header of a token. */
export const TOKEN_HEADER = "broadcaster-token";

/** The reason that is shown if no token comes back. */
const SILENCE =
  "a message to its queue did not come back: does the address lead to several servers that are not a cluster?";

/** Options for a sentinel. */
export interface SentinelOptions {
  /** The connections. */
  readonly links: Links;
  /** The subscribing connection. */
  readonly link: Link;
  /** The exchange that the queue is bound to. */
  readonly exchange: string;
  /** Whether a token came back to an earlier sentinel. */
  readonly wasProven: boolean;
  /** Called if the server ends the consumer. */
  readonly onEnded: () => void;
}

/**
 * Detects that the exchange was deleted and recreated, or that the connections lead to different
 * servers. A deleted exchange loses the bindings of all queues at once, and clients are not notified.
 * So one queue is enough, if it is bound before all others.
 */
export class Sentinel {
  /** Settles once the queue is bound, or if the user may not bind it. */
  readonly bound: Promise<void>;
  /** Settles once a token has come back, or if the user may not send one. */
  readonly proven: Promise<void>;
  readonly #options: SentinelOptions;
  readonly #loopback: Loopback;
  /** A routing key that other programs do not use. */
  readonly #key = controlChannelOf(random());
  readonly #closing = new AbortController();
  #stop: (() => Promise<unknown>) | undefined;

  /** @param options Options for the sentinel. */
  constructor(options: SentinelOptions) {
    const { links, exchange, wasProven } = options;
    this.#options = options;
    this.#loopback = new Loopback({
      send: (token) =>
        links.prove({ exchange, key: this.#key, headers: { [TOKEN_HEADER]: token } }),
      silence: SILENCE,
    });
    this.bound = this.#open();
    this.proven = this.bound.then(() =>
      this.#stop && this.#loopback.prove(wasProven, this.#closing.signal)
    );
    this.bound.catch(() => {});
    this.proven.catch(() => {});
  }

  /** Whether a token has come back. */
  get isProven(): boolean {
    return this.#loopback.isProven;
  }

  /** Sends another token. Rejects if the signal aborts before it has come back. */
  async probe(signal: AbortSignal): Promise<void> {
    await this.#loopback.probe(signal);
  }

  /**
   * Ends the consumer. The server then deletes the queue.
   *
   * @param reason The reason for callers that wait for a token.
   */
  close(reason?: unknown): void {
    this.#closing.abort(reason);
    this.bound.then(() => this.#stop?.()).catch(() => {});
  }

  async #open(): Promise<void> {
    const { link, exchange, onEnded } = this.#options;
    const control = await link.ask(link.control.open());
    const { queue } = await link.ask(
      control.assertQueue("", { exclusive: true, autoDelete: true, durable: false }),
    );
    try {
      await link.ask(control.bindQueue(queue, exchange, this.#key));
      const consuming = await link.ask(link.consuming.open());
      const { consumerTag } = await link.ask(
        consuming.consume(queue, (message) => {
          if (!message) return onEnded();
          this.#loopback.receive(String(message.properties.headers?.[TOKEN_HEADER]));
        }, { noAck: true, exclusive: true }),
      );
      this.#stop = async () => link.lost || await link.ask(consuming.cancel(consumerTag));
    } catch (error) {
      // Without a consumer, the queue would stay as long as the connection.
      link.apart((channel) => channel.deleteQueue(queue)).catch(() => {});
      // Rights may be limited to some routing keys. Then there is no such check.
      if (!(error instanceof RefusedError)) throw error;
    }
  }
}
