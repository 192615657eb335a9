/**
 * The Redis connection that is in subscriber mode.
 *
 * @module
 */

import type { Buffer } from "node:buffer";
import type { Redis } from "ioredis";
import type { Item } from "../../core/backend/contract.ts";
import type { ConnectionError } from "../../core/backend/errors.ts";
import { QueueTail } from "../../core/backend/kit/queue_tail.ts";
import { Together } from "../../core/backend/kit/together.ts";
import type { Pattern } from "../../core/backend/pattern.ts";
import { isReply, movedError } from "./errors.ts";
import { Link } from "./link.ts";

/** The commands that begin and end each kind of subscription. */
const ENDS = {
  subscribe: "unsubscribe",
  psubscribe: "punsubscribe",
  ssubscribe: "sunsubscribe",
} as const;

/** A channel, a pattern, or a channel of a cluster's shard. */
export type Kind = keyof typeof ENDS;

/** All commands, and the commands that take names of any slots. */
type Command = Kind | (typeof ENDS)[Kind];
type JoinedCommand = Exclude<Command, "ssubscribe" | "sunsubscribe">;

/** Receives the messages of one subscription. */
export interface Listener {
  /** Called with each message. */
  push(record: Item): void;
  /** Called when the subscription has ended. */
  error(reason: unknown): void;
}

interface Entry {
  readonly listener: Listener;
  /** Whether the server has confirmed the subscription. */
  confirmed: boolean;
}

/** Additional options for a subscriber. */
export interface SubscriberOptions {
  /** The prefix of names at the server. */
  readonly prefix?: string;
  /** Called once the connection has ended. */
  readonly onLost?: (error: ConnectionError) => void;
  /** Called when a slot has moved to another node. */
  readonly onMoved?: () => void;
  /** Called for each message. */
  readonly onHeard?: () => void;
}

/** One connection for any number of subscriptions. */
export class Subscriber {
  /** Settles once the connection is open. */
  readonly ready: Promise<void>;
  readonly #link: Link;
  readonly #entries = {
    subscribe: new Map<string, Entry>(),
    psubscribe: new Map<string, Entry>(),
    ssubscribe: new Map<string, Entry>(),
  };
  /**
   * The commands that take any number of names. Commands for shards take only names of one slot.
   */
  readonly #together = {
    subscribe: this.#joining("subscribe"),
    unsubscribe: this.#joining("unsubscribe"),
    psubscribe: this.#joining("psubscribe"),
    punsubscribe: this.#joining("punsubscribe"),
  };

  /**
   * Opens the connection.
   *
   * @param client A client without a connection.
   * @param options Additional options.
   */
  constructor(
    client: Redis,
    { prefix = "", onHeard, onLost, onMoved }: SubscriberOptions = {},
  ) {
    const { subscribe, psubscribe, ssubscribe } = this.#entries;
    client.on("messageBuffer", (name: Buffer, payload: Buffer) => {
      onHeard?.();
      subscribe.get(name.toString())?.listener.push({ kind: "record", payload });
    });
    client.on("pmessageBuffer", (glob: string, name: Buffer, payload: Buffer) => {
      onHeard?.();
      const channel = name.toString().slice(prefix.length);
      psubscribe.get(glob)?.listener.push({ kind: "record", payload, channel });
    });
    client.on("smessageBuffer", (name: Buffer, payload: Buffer) => {
      onHeard?.();
      ssubscribe.get(name.toString())?.listener.push({ kind: "record", payload });
    });
    client.on("moved", () => {
      onMoved?.();
      this.#moved();
    });
    this.#link = new Link(client, {
      onLost: (error) => {
        for (const entries of [subscribe, psubscribe, ssubscribe]) {
          for (const { listener } of entries.values()) listener.error(error);
          entries.clear();
        }
        onLost?.(error);
      },
    });
    this.ready = this.#link.ready;
  }

  /** Whether the connection has ended, or failed to open. */
  get lost(): boolean {
    return this.#link.lost;
  }

  /** Sends PING. Destroys the socket if there is no answer. */
  async probe(signal: AbortSignal): Promise<void> {
    await this.#link.probe(signal);
  }

  /** Ends the connection. Returns the error of the lost connection. */
  cut(reason: unknown): ConnectionError {
    return this.#link.cut(reason);
  }

  /** Closes the connection. Resolves once the socket is closed. */
  async close(): Promise<void> {
    await this.#link.close();
  }

  /** Opens a tail. Resolves once the server has confirmed. */
  async tail(kind: Kind, name: string): Promise<QueueTail> {
    let leave = () => Promise.resolve();
    const source = new QueueTail(() => leave());
    leave = await this.listen(kind, name, source);
    return source;
  }

  /**
   * Subscribes. Resolves once the server has confirmed.
   *
   * @returns A function that unsubscribes.
   */
  async listen(kind: Kind, name: string, listener: Listener): Promise<() => Promise<void>> {
    await this.ready;
    const entries = this.#entries[kind];
    const entry = { listener, confirmed: false };
    const forget = () => {
      if (entries.get(name) === entry) entries.delete(name);
    };
    entries.set(name, entry);
    try {
      await this.#send(kind, name);
    } catch (error) {
      forget();
      throw this.#link.explain(error);
    }
    entry.confirmed = true;
    if (kind === "ssubscribe" && !this.#link.lost && !this.#hears(name, true)) {
      forget();
      throw movedError();
    }
    return async () => {
      const isHeard = entries.get(name) === entry;
      forget();
      if (isHeard && !this.#link.lost) await this.#send(ENDS[kind], name);
    };
  }

  #joining(command: JoinedCommand): Together<unknown> {
    return new Together((names) => this.#link.client[command](...names));
  }

  /** Sends a command for a name, with the other names of this turn. */
  async #send(command: Command, name: string): Promise<void> {
    const { client } = this.#link;
    if (command === "ssubscribe" || command === "sunsubscribe") {
      return void await client[command](name);
    }
    try {
      await this.#together[command].ask(name);
    } catch (error) {
      // The server refuses all names of a command because of one of them.
      if (!isReply(error)) throw error;
      await client[command](name);
    }
  }

  /**
   * Called when the server has ended subscriptions by itself, because their slot has moved to
   * another node.
   */
  #moved(): void {
    for (const [name, { listener, confirmed }] of this.#entries.ssubscribe) {
      if (!confirmed || this.#hears(name, false)) continue;
      this.#entries.ssubscribe.delete(name);
      listener.error(movedError());
    }
  }

  /**
   * Whether the client still has a subscription. It keeps a set, and does not report removals.
   *
   * @param unknown The result for the one name that the set cannot hold.
   */
  #hears(name: string, unknown: boolean): boolean {
    if (name === "__proto__") return unknown;
    const { subscriber } = (this.#link.client as unknown as { condition: Condition }).condition;
    return subscriber !== false && Object.hasOwn(subscriber.set.ssubscribe, name);
  }
}

/** The state of a connection in ioredis. */
interface Condition {
  readonly subscriber: false | { readonly set: { readonly ssubscribe: object } };
}

/** A pattern in the syntax of PSUBSCRIBE, in which only its own stars are wildcards. */
export function globOf(prefix: string, { pieces }: Pattern): string {
  return [prefix + pieces[0]!, ...pieces.slice(1)]
    .map((piece) => piece.replace(/[\\*?[\]^]/g, "\\$&"))
    .join("*");
}
