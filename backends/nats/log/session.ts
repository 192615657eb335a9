/**
 * The reader, the writer and the tails of one NATS server.
 *
 * @module
 */

import type { Subscription } from "@nats-io/transport-node";
import type { Target } from "../../../core/backend/contract.ts";
import type { RefusedError } from "../../../core/backend/errors.ts";
import type { Position } from "../../../core/backend/position.ts";
import { refused } from "../errors.ts";
import type { Link } from "../link.ts";
import { channelOf, subjectOf } from "../subject.ts";
import type { Past, PastOptions } from "./past.ts";
import { filterOf, Reader } from "./reader.ts";
import { Store } from "./store.ts";
import { LiveTail } from "./tail.ts";
import { Writer } from "./writer.ts";

/** A tail before it is open. */
interface Listening {
  readonly subscription: Subscription;
  readonly target: Target;
  tail?: LiveTail;
  refusal?: RefusedError;
  /** Whether messages have already arrived. The tail then reads them. */
  isBehind: boolean;
}

/** One connection, and its stream. */
export class Session {
  /** The connection. */
  readonly link: Link;
  /** Publishes messages. */
  readonly writer: Writer;
  /** Reads on this connection. */
  readonly reader: Reader;
  readonly #past: Past;
  readonly #store: Store;
  readonly #tails = new Map<LiveTail, Subscription>();
  readonly #advisories: Subscription;

  private constructor(store: Store, writer: Writer, past: Past) {
    this.link = store.link;
    this.writer = writer;
    this.reader = new Reader(store);
    this.#past = past;
    this.#store = store;
    // The stream was deleted, created, or has another leader. The new leader may not know messages
    // that the old one has republished. A user may lack the right to receive these advisories.
    this.#advisories = this.link.client.subscribe(`$JS.EVENT.ADVISORY.STREAM.*.${store.name}`, {
      callback: (error) => error ? undefined : this.#look(),
    });
    this.link.loss.addEventListener("abort", () => this.#end());
  }

  /** Connects, and finds or creates the stream. */
  static async open(options: PastOptions, past: Past): Promise<Session> {
    const link = await options.dial.connect();
    try {
      const store = await Store.open(link, options);
      return new Session(store, await Writer.open(store), past);
    } catch (error) {
      await link.close();
      throw error;
    }
  }

  /** Whether the connection is lost. */
  get lost(): boolean {
    return this.link.lost;
  }

  /** Subscribes. The end of the stream is looked up after the server has confirmed that. */
  async tail(target: Target, after: Position | undefined): Promise<LiveTail> {
    const { link } = this;
    const listening = await link.subscribe(() => this.#listen(target));
    const { subscription } = listening;
    try {
      if (listening.refusal) throw listening.refusal;
      const position = after ?? await this.reader.end(target);
      if (after && !await this.reader.isAtEnd(target, after)) listening.isBehind = true;
      link.loss.throwIfAborted();
      if (listening.refusal) throw listening.refusal;
      const tail = listening.tail = this.#tailOf(listening, position);
      this.#tails.set(tail, subscription);
      return tail;
    } catch (error) {
      subscription.unsubscribe();
      throw error;
    }
  }

  /** Closes the socket. */
  async close(): Promise<void> {
    await this.link.close();
  }

  #listen(target: Target): Listening {
    const subscription = this.link.client.subscribe(filterOf(this.#store.live, target), {
      callback: (error, message) => {
        if (error) {
          listening.refusal = refused(error);
          listening.tail?.error(listening.refusal);
        } else if (listening.tail) listening.tail.hear(message);
        else listening.isBehind = true;
      },
    });
    const listening: Listening = { subscription, target, isBehind: false };
    return listening;
  }

  #tailOf({ subscription, target, isBehind }: Listening, position: Position): LiveTail {
    const { live } = this.#store;
    const isChannel = typeof target === "string";
    const tail: LiveTail = new LiveTail({
      position,
      isBehind,
      read: (options) => this.#past.read(this.reader, target, options),
      isReplaced: (place) => this.reader.isReplaced(place),
      channelOf: isChannel ? undefined : (subject) => channelOf(subject.slice(live.length + 1)),
      subjectOf: (channel) => `${live}.${subjectOf(isChannel ? target : channel!)}`,
      cancel: async () => {
        this.#tails.delete(tail);
        subscription.unsubscribe();
        await this.link.confirm().catch(() => {});
      },
    });
    return tail;
  }

  #look(): void {
    this.writer.lookUp();
    for (const tail of this.#tails.keys()) tail.look();
  }

  /** Ends all subscriptions, since a user's client would keep them. */
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
