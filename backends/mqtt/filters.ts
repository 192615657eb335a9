/**
 * The topic filters that one connection has subscribed to.
 *
 * @module
 */

import type { IPublishPacket } from "mqtt";
import { RefusedError } from "../../core/backend/errors.ts";
import { onAbort } from "../../core/util/abort.ts";
import type { Link } from "./link.ts";

/** Called with each message. */
export type Listener = (topic: string, payload: Uint8Array, packet: IPublishPacket) => void;

/** One filter, and its listeners. */
interface Filter {
  readonly id: number;
  readonly listeners: Set<Listener>;
  /** Settles once the server has answered the last request about it. */
  answered: Promise<unknown>;
}

/**
 * One subscription per filter, shared by its listeners, since a server has each filter once. The
 * subscription's identifier shows which filters a message matched, if several overlap.
 */
export class Filters {
  readonly #link: Link;
  readonly #filters = new Map<string, Filter>();
  readonly #byId = new Map<number, Filter>();
  #last = 0;

  /** @param link The connection to the server. */
  constructor(link: Link) {
    this.#link = link;
    const stop = link.listen((topic, payload, packet) => this.#hear(topic, payload, packet));
    onAbort(link.loss, stop);
  }

  /**
   * Adds a listener. The first listener subscribes. Resolves once the server has confirmed that.
   */
  async add(name: string, listener: Listener): Promise<void> {
    if (!this.#link.hasIdentifiers && name.endsWith("#")) {
      throw new RefusedError(
        "the server has no subscription identifiers, which patterns need: subscribe to channels",
      );
    }
    const filter = this.#filters.get(name) ?? this.#make(name);
    const isFirst = filter.listeners.size === 0;
    filter.listeners.add(listener);
    if (isFirst) filter.answered = this.#after(filter, () => this.#subscribe(name, filter));
    try {
      await filter.answered;
    } catch (error) {
      filter.listeners.delete(listener);
      this.#forget(name, filter);
      throw error;
    }
  }

  /**
   * Removes a listener. The last listener unsubscribes. Resolves once the server has confirmed
   * that.
   */
  async remove(name: string, listener: Listener): Promise<void> {
    const filter = this.#filters.get(name);
    if (!filter?.listeners.delete(listener) || filter.listeners.size > 0) return;
    filter.answered = this.#after(filter, async () => {
      if (filter.listeners.size > 0 || this.#link.lost) return;
      await this.#link.ask("unsuback", (answer) => this.#link.client.unsubscribe(name, answer));
      this.#forget(name, filter);
    });
    await filter.answered;
  }

  #make(name: string): Filter {
    const filter = {
      id: ++this.#last,
      listeners: new Set<Listener>(),
      answered: Promise.resolve(),
    };
    this.#filters.set(name, filter);
    this.#byId.set(filter.id, filter);
    return filter;
  }

  #forget(name: string, filter: Filter): void {
    if (filter.listeners.size > 0 || this.#filters.get(name) !== filter) return;
    this.#filters.delete(name);
    this.#byId.delete(filter.id);
  }

  #after(filter: Filter, ask: () => Promise<unknown>): Promise<unknown> {
    const answered = filter.answered.catch(() => {}).then(ask);
    answered.catch(() => {});
    return answered;
  }

  async #subscribe(name: string, { id: subscriptionIdentifier }: Filter): Promise<void> {
    // Retained messages are excluded, since they were published before.
    const options = {
      ...{ qos: 1, rh: 2 } as const,
      ...this.#link.hasIdentifiers && { properties: { subscriptionIdentifier } },
    };
    await this.#link.ask(
      "suback",
      (answer) => this.#link.client.subscribe(name, options, (error) => answer(error)),
    );
  }

  #hear(topic: string, payload: Uint8Array, packet: IPublishPacket): void {
    if (!this.#link.hasIdentifiers) {
      for (const listener of this.#filters.get(topic)?.listeners ?? []) {
        listener(topic, payload, packet);
      }
      return;
    }
    const { subscriptionIdentifier: ids } = packet.properties ?? {};
    // A server sends one copy for each filter, or one copy with the identifiers of all.
    for (const id of ids === undefined ? [] : [ids].flat()) {
      for (const listener of this.#byId.get(id)?.listeners ?? []) {
        listener(topic, payload, packet);
      }
    }
  }
}
