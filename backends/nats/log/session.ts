/**
 * The reader, the writer and the tails of one NATS connection.
 *
 * @module
 */

import type { Subscription } from "@nats-io/transport-node";
import type { Target } from "../../../core/backend/contract.ts";
import type { RefusedError } from "../../../core/backend/errors.ts";
import type { Position } from "../../../core/backend/position.ts";
import { refused } from "../errors.ts";
import type { Link } from "../link.ts";
import { channelOf } from "../subject.ts";
import { filterOf, Reader } from "./reader.ts";
import { type Limits, Store } from "./store.ts";
import { LiveTail } from "./tail.ts";
import { Writer } from "./writer.ts";

/** The function `jetstreamManager` of `@nats-io/jetstream`. */
export type Manage = (typeof import("@nats-io/jetstream"))["jetstreamManager"];

/** One connection, and the stream at its other end. */
export class Session {
  /** The connection. */
  readonly link: Link;
  /** Publishes. */
  readonly writer: Writer;
  /** Reads. */
  readonly reader: Reader;
  readonly #store: Store;
  readonly #tails = new Map<LiveTail, Subscription>();
  readonly #advisories: Subscription;

  private constructor(store: Store, writer: Writer) {
    this.link = store.link;
    this.writer = writer;
    this.reader = new Reader(store);
    this.#store = store;
    // The stream was deleted or created, or has another leader, which may not know of messages
    // that the last one has republished. A user without the right to hear that does without.
    this.#advisories = this.link.client.subscribe(`$JS.EVENT.ADVISORY.STREAM.*.${store.name}`, {
      callback: (error) => error ? undefined : this.#look(),
    });
    this.link.loss.addEventListener("abort", () => this.#end());
  }

  /** Finds the stream, or creates it. */
  static async open(link: Link, manage: Manage, limits: Limits): Promise<Session> {
    try {
      const manager = await manage(link.client, { checkAPI: false });
      const store = new Store(link, manager, limits);
      return new Session(store, new Writer(store, await store.state()));
    } catch (error) {
      await link.close();
      throw error;
    }
  }

  /** Whether its connection is lost. */
  get lost(): boolean {
    return this.link.lost;
  }

  /** Subscribes. The end of the stream is looked up once the server has confirmed that. */
  async tail(target: Target, after: Position | undefined): Promise<LiveTail> {
    const { link } = this;
    link.loss.throwIfAborted();
    let tail: LiveTail | undefined;
    let refusal: RefusedError | undefined;
    let isBehind = after !== undefined;
    const subscription = link.client.subscribe(filterOf(this.#store.live, target), {
      callback: (error, message) => {
        if (error) {
          refusal = refused(error);
          tail?.error(refusal);
        } else if (tail) tail.hear(message);
        else isBehind = true;
      },
    });
    try {
      await link.confirm();
      if (refusal) throw refusal;
      const position = after ?? await this.reader.end(target);
      link.loss.throwIfAborted();
      tail = new LiveTail({
        position,
        isBehind,
        read: (options) => this.reader.read(target, options),
        channelOf: typeof target === "string"
          ? undefined
          : (subject) => channelOf(subject.slice(this.#store.live.length + 1)),
        cancel: async () => {
          this.#tails.delete(tail!);
          subscription.unsubscribe();
          await link.confirm().catch(() => {});
        },
      });
    } catch (error) {
      subscription.unsubscribe();
      throw error;
    }
    this.#tails.set(tail, subscription);
    return tail;
  }

  /** Shuts the socket. */
  async close(): Promise<void> {
    await this.link.close();
  }

  #look(): void {
    this.#store.state().then((state) => this.writer.renew(state), () => {});
    for (const tail of this.#tails.keys()) tail.look();
  }

  /** Ends all subscriptions: a client of the user's would go on with them. */
  #end(): void {
    this.writer.close();
    this.#advisories.unsubscribe();
    for (const [tail, subscription] of this.#tails) {
      subscription.unsubscribe();
      tail.error(this.link.loss.reason);
    }
    this.#tails.clear();
  }
}
