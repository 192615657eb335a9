/**
 * In-memory brokers: a store, and the backends that use it.
 *
 * A named broker is shared within a process. It is stored on `globalThis` under a registered
 * symbol, since hot reload and bundlers load several copies of this module.
 *
 * @module
 */

import type { BackendRecord, OutgoingPayload } from "../../../core/backend/contract.ts";
import type { Position } from "../../../core/backend/position.ts";
import { inBackground } from "../../../core/util/background.ts";
import { after } from "../../../core/util/timer.ts";
import type { Stored } from "./channel.ts";
import { MemoryStore } from "./store.ts";

/** The time that a named broker outlives its last backend, in milliseconds. */
const LINGER = 10_000;

/**
 * The key of the named brokers on `globalThis`. The key ends with the version of the shared data
 * structures. Copies of this module with other structures do not share brokers.
 */
const BROKERS = Symbol.for("@broadcaster/broadcaster/memory/1");

/** A delivered record. Without a log it has no place. */
export type Delivered = Stored | BackendRecord & { readonly order?: undefined };

/** A record that is to be delivered. */
interface Published {
  readonly channel: string;
  readonly record: Delivered;
}

/** A backend, as seen by its broker. */
export interface MemoryListener {
  /** Returns `true` if the backend has a tail of a channel. */
  hears(channel: string): boolean;
  /** Delivers a record to its tails of the channel and of matching patterns. */
  deliver(channel: string, record: Delivered): void;
}

/** A store, and the backends that use it. */
export class MemoryBroker {
  /** The logs of all channels; `undefined` if `history` is 0. */
  readonly store: MemoryStore | undefined;
  /** The backends that use this broker. */
  readonly listeners: Set<MemoryListener> = new Set();
  readonly #name: string | undefined;
  #isDelivering = false;
  /** Records that a codec or a listener publishes while another record is being delivered. */
  readonly #later: Published[] = [];
  /** The time of `performance.now()` when the last backend left; `undefined` while there is one. */
  #left: number | undefined;

  private constructor(history: number, name?: string) {
    this.#name = name;
    if (history <= 0) return;
    const isHeard = (channel: string) => {
      for (const listener of this.listeners) if (listener.hears(channel)) return true;
      return false;
    };
    this.store = new MemoryStore(history, isHeard);
  }

  /**
   * The broker with a name, or a new private one.
   *
   * @param history The number of events to keep for each channel, if the broker is new.
   */
  static of(history: number, name: string | undefined): MemoryBroker {
    if (name === undefined) return new MemoryBroker(history);
    const brokers = named();
    const known = brokers.get(name);
    // The timer of the broker may be late. A method is called, since another copy of this class has
    // other private fields.
    if (known && !known.isOver()) return known;
    const broker = new MemoryBroker(history, name);
    brokers.set(name, broker);
    return broker;
  }

  /** Adds a backend. */
  join(listener: MemoryListener): void {
    this.#left = undefined;
    this.listeners.add(listener);
  }

  /** Removes a backend. Idempotent. */
  leave(listener: MemoryListener): void {
    if (!this.listeners.delete(listener) || this.listeners.size > 0) return;
    if (this.#name === undefined) return this.store?.clear();
    const left = this.#left = performance.now();
    later(LINGER, () => {
      if (this.#left === left) this.#forget();
    });
  }

  /** Stores a message, and delivers it. Returns its position, if there is a log. */
  publish(message: OutgoingPayload): Position | null {
    const { channel, payload, headers } = message;
    if (!this.store) {
      this.#deliver(channel, { kind: "record", payload, headers });
      return null;
    }
    const { record, position } = this.store.push(message);
    if (record) this.#deliver(channel, record);
    return position;
  }

  /** Delivers a record to all backends. Records that are published meanwhile follow it. */
  #deliver(channel: string, record: Delivered): void {
    if (this.#isDelivering) return void this.#later.push({ channel, record });
    this.#isDelivering = true;
    for (let next: Published | undefined = { channel, record }; next; next = this.#later.shift()) {
      for (const listener of this.listeners) listener.deliver(next.channel, next.record);
    }
    this.#isDelivering = false;
  }

  /** Returns `true` if the broker has been without backends for too long. */
  isOver(): boolean {
    return this.#left !== undefined && performance.now() - this.#left >= LINGER;
  }

  #forget(): void {
    const brokers = named();
    if (brokers.get(this.#name!) === this) brokers.delete(this.#name!);
    this.store?.clear();
  }
}

/** All named brokers of the process. */
function named(): Map<string, MemoryBroker> {
  const shared = globalThis as { [BROKERS]?: Map<string, MemoryBroker> };
  return shared[BROKERS] ??= new Map();
}

/**
 * Calls back later, without keeping the process alive. Avoids `setTimeout()` where possible: this
 * timer is still pending when everything is closed, and the sanitizers of `deno test` report every
 * pending timer as a leak, even one that does not keep the process alive.
 */
function later(milliseconds: number, callback: () => void): void {
  if (typeof SharedArrayBuffer === "undefined" || typeof Atomics.waitAsync !== "function") {
    after(milliseconds, callback);
    return;
  }
  const cell = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  const { value } = Atomics.waitAsync(cell, 0, 0, milliseconds);
  inBackground(Promise.resolve(value).then(callback));
}
