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

/** The command that begins each kind of subscription, and the one that ends it. */
const ENDS = {
  subscribe: "unsubscribe",
  psubscribe: "punsubscribe",
  ssubscribe: "sunsubscribe",
} as const;

/** A channel, a pattern, or a channel of a cluster's shard. */
export type Kind = keyof typeof ENDS;

/** Any of the commands, and those that take names of any slots. */
type Command = Kind | (typeof ENDS)[Kind];
type JoinedCommand = Exclude<Command, "ssubscribe" | "sunsubscribe">;

/** Receives what is published to one subscription. */
export interface Listener {
  /** Something was published. */
  push(record: Item): void;
  /** The subscription has ended. */
  error(reason: unknown): void;
}

interface Entry {
  readonly listener: Listener;
  /** Whether the server has confirmed it. */
  confirmed: boolean;
}

/** Additional options for a subscriber. */
export interface SubscriberOptions {
  /** The prefix of names on the wire. */
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
  /** Settles once it is open. */
  readonly ready: Promise<void>;
  readonly #link: Link;
  readonly #entries = {
    subscribe: new Map<string, Entry>(),
    psubscribe: new Map<string, Entry>(),
    ssubscribe: new Map<string, Entry>(),
  };
  /** The commands that take any number of names; those of shards take the names of one slot. */
  readonly #together = {
    subscribe: this.#joining("subscribe"),
    unsubscribe: this.#joining("unsubscribe"),
    psubscribe: this.#joining("psubscribe"),
    punsubscribe: this.#joining("punsubscribe"),
  };

  /**
   * Opens it.
   *
   * @param client A client that is not connected.
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

  /** PING; the socket is cut if there is no answer. */
  async probe(signal: AbortSignal): Promise<void> {
    await this.#link.probe(signal);
  }

  /** Ends the connection. Returns the error that says so. */
  cut(reason: unknown): ConnectionError {
    return this.#link.cut(reason);
  }

  /** Resolves with the socket shut. */
  async close(): Promise<void> {
    await this.#link.close();
  }

  /** A tail, once the server has confirmed. */
  async tail(kind: Kind, name: string): Promise<QueueTail> {
    let leave = () => Promise.resolve();
    const source = new QueueTail(() => leave());
    leave = await this.listen(kind, name, source);
    return source;
  }

  /**
   * Resolves once the server has confirmed.
   *
   * @returns Unsubscribes.
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
      // The server refuses all names of a command for one of them.
      if (!isReply(error)) throw error;
      await client[command](name);
    }
  }

  /** The server has ended subscriptions by itself: their slot has moved to another node. */
  #moved(): void {
    for (const [name, { listener, confirmed }] of this.#entries.ssubscribe) {
      if (!confirmed || this.#hears(name, false)) continue;
      this.#entries.ssubscribe.delete(name);
      listener.error(movedError());
    }
  }

  /**
   * Whether the client still has a subscription: it keeps a set, and does not say what it removes.
   *
   * @param unknown The answer for the one name that its set cannot hold.
   */
  #hears(name: string, unknown: boolean): boolean {
    if (name === "__proto__") return unknown;
    const { subscriber } = (this.#link.client as unknown as { condition: Condition }).condition;
    return subscriber !== false && Object.hasOwn(subscriber.set.ssubscribe, name);
  }
}

/** The state of a connection, as ioredis keeps it. */
interface Condition {
  readonly subscriber: false | { readonly set: { readonly ssubscribe: object } };
}

/** A pattern as PSUBSCRIBE has it: only its own stars are wildcards. */
export function globOf(prefix: string, { pieces }: Pattern): string {
  return [prefix + pieces[0]!, ...pieces.slice(1)]
    .map((piece) => piece.replace(/[\\*?[\]^]/g, "\\$&"))
    .join("*");
}
