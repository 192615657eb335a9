/**
 * Channels within one process, without a broker: for a laptop, for tests, and
 * for applications that run as one process.
 *
 * ## URLs
 *
 * `memory://[?history=N]`: how many events of each channel are kept, 1,000
 * unless it is said; 0 for none, as on brokers without a log. Two broadcasts
 * share nothing.
 *
 * ## Delivery
 *
 * As on a real broker: messages are encoded and decoded, arrive in the order in
 * which they were published, and can be read again as long as they are kept.
 * All channels together keep at most 64 MiB of payload; past that the channels
 * that were published to longest ago forget first. What is forgotten is told as
 * a gap, with the exact count. Nothing outlives the process.
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
  BackendRecord,
  Page,
  Payload,
  PayloadOptions,
  ReadOptions,
  Tail,
  TailOptions,
  Target,
} from "../../core/backend/contract.ts";
import { QueueTail } from "../../core/backend/kit/queue_tail.ts";
import type { Pattern } from "../../core/backend/pattern.ts";
import type { Position } from "../../core/backend/position.ts";
import { MemoryStore } from "./log/store.ts";

/** How many events of a channel are kept. */
const HISTORY = 1_000;

/** Keeps a log of each channel, and delivers to the tails of this object. */
export class MemoryBackend implements Backend {
  /** The scheme. */
  readonly name = "memory";
  /** As it appears in messages. */
  readonly address = "memory://";
  /** What it can do. */
  readonly features: BackendFeatures;
  readonly #store: MemoryStore | undefined;
  readonly #tails = new Map<string, QueueTail>();
  readonly #patterns = new Map<Pattern, QueueTail>();

  /**
   * A backend of its own, that shares nothing.
   *
   * @param history How many events of a channel are kept; 0 for none.
   */
  constructor(history: number = HISTORY) {
    const log = history > 0;
    this.features = {
      crossProcess: false,
      binary: true,
      log,
      patterns: true,
      patternLog: log,
      headers: true,
      keys: log,
    };
    if (log) this.#store = new MemoryStore(history, (channel) => this.#tails.has(channel));
  }

  /** Stores the payloads, and hands them to the tails that they concern. */
  publish(
    channel: string,
    payloads: readonly Payload[],
    options?: readonly (PayloadOptions | undefined)[],
  ): Promise<void> | readonly Promise<Position>[] {
    const store = this.#store;
    const stored = store?.push(channel, payloads, options);
    const records: readonly BackendRecord[] = stored?.added ??
      payloads.map((payload, index) => ({ payload, headers: options?.[index]?.headers }));
    const tail = this.#tails.get(channel);
    for (const record of records) tail?.push(record);
    for (const [pattern, source] of this.#patterns) {
      if (!pattern.matches(channel)) continue;
      records.forEach((record, index) => {
        const ago = records.length - 1 - index;
        source.push(store ? store.recent(ago, record, channel) : { ...record, channel });
      });
    }
    return stored?.positions.map((position) => Promise.resolve(position)) ?? Promise.resolve();
  }

  /** The live end, behind what the log still has of the past. */
  tail(target: Target, { after }: TailOptions = {}): Promise<Tail> {
    const tails: Map<Target, QueueTail> = typeof target === "string" ? this.#tails : this.#patterns;
    const log = typeof target === "string" ? this.#store?.log(target) : this.#store;
    const source = new QueueTail(() => void tails.delete(target), log?.end);
    tails.set(target, source);
    const page = after && this.#store &&
      this.#read(this.#store, target, { after, limit: Infinity });
    for (const item of page?.items ?? []) source.push(item);
    return Promise.resolve(source);
  }

  /** A page of the past. */
  read(target: Target, options: ReadOptions): Promise<Page> {
    return Promise.resolve(this.#read(this.#store!, target, options));
  }

  /** Forgets everything. */
  close(): Promise<void> {
    this.#tails.clear();
    this.#patterns.clear();
    this.#store?.clear();
    return Promise.resolve();
  }

  #read(store: MemoryStore, target: Target, options: ReadOptions): Page {
    return typeof target === "string"
      ? store.log(target).read(options)
      : store.read(target, options);
  }
}

/** Makes the backend of `memory://`. */
export function open(address: Address): Backend {
  return new MemoryBackend(address.count("history", 0) ?? HISTORY);
}
