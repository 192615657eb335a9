// deno test -A examples/custom_backend.ts

/** A custom backend with a log. It passes the conformance suite of the built-in backends. */

import { fingerprintOf, PollingTail, Position } from "@broadcaster/broadcaster/backend";
import type {
  Backend,
  BackendRecord,
  Item,
  OutgoingPayload,
  Page,
  Place,
  ReadOptions,
  TailOptions,
} from "@broadcaster/broadcaster/backend";
import { conformance } from "@broadcaster/broadcaster/conformance";

/** Stands in for the broker: an object that all instances of the backend share. */
const broker = new Map<string, Log>();

/** Log of one channel: its newest 10,000 records, and the tails to wake for new ones. */
class Log {
  next = 0;
  readonly records: (BackendRecord & { readonly place: Place })[] = [];
  readonly tails = new Set<PollingTail>();

  push({ payload, headers }: OutgoingPayload): Position {
    const timestamp = Date.now();
    // Distinguishes this record from another at the same place, after a restart of the broker.
    const fingerprint = fingerprintOf(payload, String(timestamp));
    const place = { shard: 0, at: this.next++, sub: 0, fingerprint };
    this.records.push({ kind: "record", payload, headers, timestamp, place });
    if (this.records.length > 10_000) this.records.shift();
    for (const tail of this.tails) tail.wake();
    return Position.of(place);
  }
}

/** Reads and writes the broker. The core encodes, fans out, buffers, reconnects and detects gaps. */
export class CustomBackend implements Backend {
  readonly name = "custom";
  readonly address = "custom://";
  /** The core rejects calls that need a feature not listed here, such as patterns. */
  readonly features = { crossProcess: true, binary: true, headers: true };

  /** Publishes the messages of one turn of the event loop, for all channels. */
  publish(messages: readonly OutgoingPayload[]): Promise<Position>[] {
    return messages.map((message) => Promise.resolve(this.#log(message.channel).push(message)));
  }

  /** Reads the records after a position, and again whenever the broker announces new ones. */
  tail(channel: string, { after }: TailOptions = {}): Promise<PollingTail> {
    const log = this.#log(channel);
    const tail: PollingTail = new PollingTail({
      position: after ?? Position.of(...log.records.slice(-1).map(({ place }) => place)),
      read: (options) => this.read(channel, options),
      cancel: () => void log.tails.delete(tail),
    });
    log.tails.add(tail);
    // If the connection is lost: tail.error(new ConnectionError("Cannot read …: …")).
    return Promise.resolve(tail);
  }

  /** Reads a page: the records after a position, or the newest ones. */
  read(channel: string, { after, before, limit }: ReadOptions): Promise<Page> {
    const { records, next } = this.#log(channel);
    const oldest = next - records.length;
    const placeOf = (at: number) =>
      records[at - oldest]?.place ?? { shard: 0, at, sub: 0, fingerprint: "" };
    const end = before ? Math.min(before.newest?.at ?? 0, next) : next;
    const page = (from: Position, first: number, ...found: Item[]) => {
      const items = records.slice(first - oldest, Math.min(first + limit, end) - oldest);
      return Promise.resolve({ from, items: [...found, ...items] });
    };
    const newest = Math.max(oldest, end - limit);
    if (!after) return page(newest > 0 ? Position.of(placeOf(newest - 1)) : Position.start, newest);
    const { at, fingerprint } = after.newest ?? placeOf(-1);
    const known = records[at - oldest]?.place;
    if (known?.fingerprint === fingerprint) return page(after, at + 1);
    // The record at the position is gone. The backend reports facts; the core derives the gap.
    const first = known || at >= next ? oldest : Math.max(oldest, at + 1);
    const facts = { replaced: known !== undefined, removed: Math.max(0, oldest - 1 - at) };
    return page(after, first, { kind: "break", head: placeOf(next - 1), ...facts });
  }

  /** The core has cancelled every tail. Connections are closed here. */
  async close(): Promise<void> {}

  #log(channel: string): Log {
    return broker.get(channel) ?? broker.set(channel, new Log()).get(channel)!;
  }
}

conformance(Deno.test, {
  name: "custom",
  features: { ...new CustomBackend().features, log: true },
  limit: Infinity,
  target: () => new CustomBackend(),
});
