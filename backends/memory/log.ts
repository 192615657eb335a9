/**
 * The `memory://` backend: channels within one process, without a broker. For development, tests,
 * and applications that run as a single process.
 *
 * ## URLs
 *
 * `memory://[name][?history=N]`. `history` is the number of events to keep for each channel, by
 * default 1,000. With 0 there is no log, as on brokers without one.
 *
 * - **`memory://`** is private: two broadcasts share nothing.
 * - **`memory://name`** is shared by all broadcasts of a process that use the name, even across
 *   copies of this module, which hot reload and bundlers load. They share events, logs and
 *   idempotency keys. Disconnecting one leaves the others connected. The data is deleted 10 seconds
 *   after the last one disconnects. `?history=` of the first one applies; later values are ignored.
 *
 * ## Delivery
 *
 * As on a real broker, messages are encoded and decoded, arrive in the order in which they were
 * published, and can be read again while they are kept.
 *
 * All channels together keep at most 64 MiB of payload. Beyond that, the least recently used
 * channels lose their events first. Lost events are reported as a gap, with the exact count.
 * Nothing outlives the process or reaches its workers.
 *
 * ## Escape hatch
 *
 * None: there is no client.
 *
 * @module
 */

import type { Address } from "../../core/backend/address.ts";
import type {
  Backend,
  BackendFeatures,
  BackendSource,
  OutgoingPayload,
  Page,
  ReadOptions,
  Tail,
  TailOptions,
  Target,
} from "../../core/backend/contract.ts";
import { QueueTail } from "../../core/backend/kit/queue_tail.ts";
import { checkOptions, sourceOf, type SourceOptions } from "../../core/backend/kit/source.ts";
import type { Pattern } from "../../core/backend/pattern.ts";
import { type Delivered, MemoryBroker, type MemoryListener } from "./log/broker.ts";

/** The default number of events to keep for each channel. */
const HISTORY = 1_000;

/** Keeps a log of each channel, and delivers to the tails of all backends with the same name. */
export class MemoryBackend implements Backend {
  /** The scheme. */
  readonly name = "memory";
  /** The address shown in messages. */
  readonly address: string;
  /** The capabilities of the backend. */
  readonly features: BackendFeatures;
  /** Reads a page of the log. Absent if `history` is 0. */
  readonly read?: (target: Target, options: ReadOptions) => Promise<Page>;
  readonly #broker: MemoryBroker;
  readonly #listener: MemoryListener;
  readonly #tails = new Map<string, QueueTail>();
  readonly #patterns = new Map<Pattern, QueueTail>();

  /**
   * Creates a private backend, or one that shares everything with other backends of the same name.
   *
   * @param history The number of events to keep for each channel; 0 for no log. If the name is
   * already in use, the value of the first backend applies.
   * @param name The name to share, if any.
   */
  constructor(history: number = HISTORY, name?: string) {
    this.address = `memory://${name ?? ""}`;
    this.#broker = MemoryBroker.of(history, name);
    this.#listener = {
      hears: (channel) => this.#tails.has(channel),
      deliver: (channel, record) => this.#deliver(channel, record),
    };
    this.#broker.join(this.#listener);
    const log = this.#broker.store !== undefined;
    this.features = {
      crossProcess: false,
      binary: true,
      patterns: true,
      patternLog: log,
      headers: true,
      keys: log,
    };
    const { store } = this.#broker;
    if (store) this.read = (target, options) => Promise.resolve(store.read(target, options));
  }

  /** Stores messages, and delivers them to the tails of their channels and patterns. */
  publish(messages: readonly OutgoingPayload[]): ReturnType<Backend["publish"]> {
    return messages.map((message) => this.#broker.publish(message));
  }

  /** Opens a tail. The tail begins with the events after the position that the log still has. */
  tail(target: Target, { after }: TailOptions = {}): Promise<Tail> {
    const tails: Map<Target, QueueTail> = typeof target === "string" ? this.#tails : this.#patterns;
    const { store } = this.#broker;
    const tail = new QueueTail(() => void tails.delete(target), store?.endOf(target));
    tails.set(target, tail);
    const past = after && store?.read(target, { after, limit: Infinity });
    for (const item of past?.items ?? []) tail.push(item);
    return Promise.resolve(tail);
  }

  /**
   * Deletes the data. The data of a name is deleted 10 seconds after its last backend has closed.
   */
  close(): Promise<void> {
    this.#tails.clear();
    this.#patterns.clear();
    this.#broker.leave(this.#listener);
    return Promise.resolve();
  }

  /** Delivers a newly published record. */
  #deliver(channel: string, record: Delivered): void {
    const { store } = this.#broker;
    this.#tails.get(channel)?.push(record);
    for (const [pattern, tail] of this.#patterns) {
      if (!pattern.matches(channel)) continue;
      const isStored = store && record.order !== undefined;
      tail.push(isStored ? store.amongAll(record, channel) : { ...record, channel });
    }
  }
}

/** Options of `memory()`. */
export interface MemoryOptions extends SourceOptions {
  /**
   * The number of events to keep for each channel; 0 for no log.
   *
   * @default {1000}
   */
  readonly history?: number | undefined;
}

/**
 * Creates a backend in memory for `new Broadcast()`.
 *
 * @param options The URL, and its parameters by name.
 *
 * @example
 * ```ts
 * import { Broadcast } from "@broadcaster/broadcaster";
 * import { memory } from "@broadcaster/broadcaster/memory";
 *
 * const broadcast = new Broadcast(memory({ history: 10 }));
 * await broadcast.disconnect();
 * ```
 */
export function memory(options: MemoryOptions = {}): BackendSource {
  const { url, history } = checkOptions("memory", options, { url: true, history: true });
  return sourceOf({ schemes: ["memory"], url, parameters: { history }, open });
}

/** Creates the backend of a `memory://` URL. */
export function open(address: Address): Backend {
  const name = String(address).replace("memory://", "");
  return new MemoryBackend(address.count("history", 0), name === "" ? undefined : name);
}
