/**
 * The Redis connection that is in subscriber mode.
 *
 * @module
 */

import type { Buffer } from "node:buffer";
import type { Redis } from "ioredis";
import type { Item } from "../../core/backend/contract.ts";
import { ConnectionError } from "../../core/backend/errors.ts";
import { QueueTail } from "../../core/backend/kit/queue_tail.ts";
import type { Pattern } from "../../core/backend/pattern.ts";
import { Link } from "./link.ts";

/** How each kind of subscription begins and ends. */
const ENDS = {
  subscribe: "unsubscribe",
  psubscribe: "punsubscribe",
  ssubscribe: "sunsubscribe",
} as const;

/** A channel, a pattern, or a channel of a cluster's shard. */
export type Kind = keyof typeof ENDS;

/** What hears. */
export interface Listener {
  /** Something was published. */
  push(record: Item): void;
  /** It hears no more. */
  error(reason: unknown): void;
}

interface Entry {
  readonly listener: Listener;
  /** Whether the server has confirmed it. */
  confirmed: boolean;
}

/** Additional options for a subscriber. */
export interface SubscriberOptions {
  /** What stands before names on the wire. */
  readonly prefix?: string;
  /** Told once it is open no more. */
  readonly onLost?: (error: ConnectionError) => void;
  /** Told when a slot is another node's now. */
  readonly onMoved?: () => void;
}

/** One connection, however many subscriptions. */
export class Subscriber {
  /** The connection. */
  readonly link: Link;
  readonly #entries = {
    subscribe: new Map<string, Entry>(),
    psubscribe: new Map<string, Entry>(),
    ssubscribe: new Map<string, Entry>(),
  };

  /**
   * Opens it.
   *
   * @param client A client that is not connected.
   * @param options Additional options.
   */
  constructor(client: Redis, { prefix = "", onLost, onMoved }: SubscriberOptions = {}) {
    const { subscribe, psubscribe, ssubscribe } = this.#entries;
    client.on("messageBuffer", (name: Buffer, payload: Buffer) => {
      subscribe.get(name.toString())?.listener.push({ payload });
    });
    client.on("pmessageBuffer", (glob: string, name: Buffer, payload: Buffer) => {
      const channel = name.toString().slice(prefix.length);
      psubscribe.get(glob)?.listener.push({ payload, channel });
    });
    client.on("smessageBuffer", (name: Buffer, payload: Buffer) => {
      ssubscribe.get(name.toString())?.listener.push({ payload });
    });
    client.on("moved", () => {
      onMoved?.();
      this.#moved();
    });
    this.link = new Link(client, (error) => {
      for (const entries of [subscribe, psubscribe, ssubscribe]) {
        for (const { listener } of entries.values()) listener.error(error);
        entries.clear();
      }
      onLost?.(error);
    });
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
    await this.link.ready;
    const entries = this.#entries[kind];
    const entry = { listener, confirmed: false };
    const forget = () => {
      if (entries.get(name) === entry) entries.delete(name);
    };
    entries.set(name, entry);
    try {
      await this.link.client[kind](name);
    } catch (error) {
      forget();
      throw this.link.explain(error);
    }
    entry.confirmed = true;
    if (kind === "ssubscribe" && !this.link.lost && !this.#hears(name, true)) {
      forget();
      throw movedError();
    }
    return async () => {
      const isHeard = entries.get(name) === entry;
      forget();
      if (isHeard && !this.link.lost) await this.link.client[ENDS[kind]](name);
    };
  }

  /** The server has ended subscriptions by itself, as their slot is another node's now. */
  #moved(): void {
    for (const [name, { listener, confirmed }] of this.#entries.ssubscribe) {
      if (!confirmed || this.#hears(name, false)) continue;
      this.#entries.ssubscribe.delete(name);
      listener.error(movedError());
    }
  }

  /** The client keeps a set, and does not tell what it removes from it. One name it cannot keep. */
  #hears(name: string, otherwise: boolean): boolean {
    if (name === "__proto__") return otherwise;
    const { subscriber } = (this.link.client as unknown as { condition: Condition }).condition;
    return subscriber !== false && Object.hasOwn(subscriber.set.ssubscribe, name);
  }
}

/** What ioredis knows of a connection. */
interface Condition {
  readonly subscriber: false | { readonly set: { readonly ssubscribe: object } };
}

/** Why a subscription ended that was well. */
export function movedError(): ConnectionError {
  return new ConnectionError("its slot has moved to another node of the cluster");
}

/** A pattern as PSUBSCRIBE has it: its own stars, everything else for itself. */
export function globOf(prefix: string, { pieces }: Pattern): string {
  return [prefix + pieces[0]!, ...pieces.slice(1)]
    .map((piece) => piece.replace(/[\\*?[\]^]/g, "\\$&"))
    .join("*");
}
