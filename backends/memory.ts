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

import type { Address } from "../address.ts";
import type {
  Backend,
  BackendFeatures,
  Page,
  Payload,
  ReadOptions,
  Tail,
  TailOptions,
} from "../backend.ts";
import { Position } from "../position.ts";
import { RecordSource } from "../record_source.ts";
import { MemoryLog } from "./memory/log.ts";

/** How many events of a channel are kept. */
const HISTORY = 1_000;
/** What the payloads of all channels may take together. */
const BYTES = 64 * 1024 * 1024;

/** Keeps a log of each channel, and delivers to the tails of this object. */
export class MemoryBackend implements Backend {
  /** The scheme. */
  readonly name = "memory";
  /** As it appears in messages. */
  readonly address = "memory://";
  /** What it can do. */
  readonly features: BackendFeatures;
  readonly #history: number;
  /** Those that were published to most recently last. */
  readonly #logs = new Map<string, MemoryLog>();
  readonly #tails = new Map<string, RecordSource>();
  #bytes = 0;

  /**
   * A backend of its own, that shares nothing.
   *
   * @param history How many events of a channel are kept; 0 for none.
   */
  constructor(history: number = HISTORY) {
    this.#history = history;
    this.features = { crossProcess: false, binary: true, log: history > 0 };
  }

  /** Stores the payloads, and hands them to the channel's tail. */
  publish(
    channel: string,
    payloads: readonly Payload[],
  ): Promise<void> | readonly Promise<Position>[] {
    const tail = this.#tails.get(channel);
    if (!this.features.log) {
      for (const payload of payloads) tail?.push({ payload });
      return Promise.resolve();
    }
    const log = this.#log(channel);
    this.#logs.delete(channel);
    this.#logs.set(channel, log);
    this.#bytes -= log.bytes;
    const positions = payloads.map((payload) => {
      const record = log.push(payload);
      tail?.push(record);
      return Promise.resolve(Position.of(record.place));
    });
    this.#bytes += log.bytes;
    this.#forget();
    return positions;
  }

  /** The channel's live end, behind what the log still has of its past. */
  tail(channel: string, { after }: TailOptions = {}): Promise<Tail> {
    const source = new RecordSource(() => void this.#tails.delete(channel));
    this.#tails.set(channel, source);
    if (!this.features.log) return Promise.resolve(source);
    const log = this.#log(channel);
    for (const item of after ? log.read({ after, limit: Infinity }).items : []) source.push(item);
    return Promise.resolve({ position: log.end, records: source.records });
  }

  /** A page of the channel's log. */
  read(channel: string, options: ReadOptions): Promise<Page> {
    return Promise.resolve(this.#log(channel).read(options));
  }

  /** Forgets everything. */
  close(): Promise<void> {
    this.#tails.clear();
    this.#logs.clear();
    return Promise.resolve();
  }

  #log(channel: string): MemoryLog {
    let log = this.#logs.get(channel);
    if (log) return log;
    log = new MemoryLog(this.#history);
    this.#logs.set(channel, log);
    this.#bytes += log.bytes;
    return log;
  }

  /** A log without a tail is forgotten as a whole, and begun anew when it is used again. */
  #forget(): void {
    for (const [channel, log] of this.#logs) {
      if (this.#bytes <= BYTES) return;
      this.#bytes -= log.bytes;
      if (this.#tails.has(channel)) {
        log.trim(this.#bytes + log.bytes - BYTES);
        this.#bytes += log.bytes;
      } else this.#logs.delete(channel);
    }
  }
}

/** Makes the backend of `memory://`. */
export function open(address: Address): Backend {
  return new MemoryBackend(address.count("history", 0) ?? HISTORY);
}
