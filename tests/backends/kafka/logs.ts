/** What cases on the log share. */

import { Buffer } from "node:buffer";
import { KafkaBackend } from "../../../backends/kafka/log.ts";
import { Address } from "../../../core/backend/address.ts";
import type { Item, Page, Payload } from "../../../core/backend/contract.ts";
import type { Place, Position } from "../../../core/backend/position.ts";
import { type Outsider, registrar } from "./outsider.ts";

/** Registers a case, which has a backend at hand. */
export function logRegistrar(
  url: string,
  name: string,
): (
  what: string,
  body: (backend: KafkaBackend, outsider: Outsider) => Promise<void>,
) => void {
  const test = registrar(url, name);
  return (what, body) =>
    test(what, async (outsider) => {
      const backend = new KafkaBackend(new Address(url));
      try {
        await body(backend, outsider);
      } finally {
        await backend.close();
      }
    });
}

/** An item in short: the text of an event, `offset` of a passed record, `!cause` of a gap. */
export function brief(item: Item): string | number {
  if (item.payload !== undefined) return textOf(item.payload);
  return item.place ? item.place.at : `!${(item as { cause: string }).cause}`;
}

/** All items of a page in short. */
export function briefs({ items }: Page): (string | number)[] {
  return items.map(brief);
}

/** The text of a payload. */
export function textOf(payload: Payload): string {
  return typeof payload === "string" ? payload : String(Buffer.from(payload));
}

/** The position behind a page. */
export function behind({ from, items }: Page): Position {
  let position = from;
  for (const item of items) {
    if (item.place) position = position.with(item.place);
    else if ("restart" in item && item.restart) position = item.restart;
  }
  return position;
}

/** The position of its first record: what a page before it is asked for by. */
export function front({ from, items }: Page): Position {
  return from.with(items.find(({ place }) => place)!.place!);
}

/** A place, of which the fingerprint is not known. */
export function at(offset: number, shard = 0, fingerprint = ""): Place {
  return { shard, at: offset, sub: 0, fingerprint };
}

/** Reads the items of a tail one by one. */
export class TailReader {
  readonly #reader: ReadableStreamDefaultReader<readonly Item[]>;
  #items: Item[] = [];

  /** Takes the stream of a tail. */
  constructor(records: ReadableStream<readonly Item[]>) {
    this.#reader = records.getReader();
  }

  /** The next so many items. */
  async take(count: number): Promise<Item[]> {
    while (this.#items.length < count) {
      const { value, done } = await this.#reader.read();
      if (done) throw new Error("the tail has ended");
      this.#items.push(...value);
    }
    return this.#items.splice(0, count);
  }

  /** The next so many items in short. */
  async briefs(count: number): Promise<(string | number)[]> {
    return (await this.take(count)).map(brief);
  }
}
