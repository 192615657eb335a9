/** Helpers for cases on the log. */

import { Buffer } from "node:buffer";
import { KafkaBackend } from "../../../backends/kafka/log.ts";
import { Address } from "../../../core/backend/address.ts";
import { gapOf, positionAfter } from "../../../core/backend/continuity.ts";
import type { Item, Page, Payload, RecordReader, Tail } from "../../../core/backend/contract.ts";
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

/** An item in short: the text of a record, the offset of a skipped one, the facts of a break. */
export function brief(item: Item): string | number {
  if (item.kind === "record") return textOf(item.payload);
  if (item.kind === "skip") return item.place.at;
  if (item.kind === "loss") return "!lost";
  const { recreated, replaced, head, removed } = item;
  return recreated ? "!recreated" : replaced ? "!replaced" : `!${removed} of ${head?.at}`;
}

/** The place of an item, if it has one. */
export function placeOf(item: Item): Place | undefined {
  return "place" in item ? item.place : undefined;
}

/** The payload of an item, if it has one. */
export function payloadOf(item: Item): Payload | undefined {
  return item.kind === "record" ? item.payload : undefined;
}

/** All items of a page in short. */
export function briefs({ items }: Page): (string | number)[] {
  return items.map(brief);
}

/** The text of a payload. */
export function textOf(payload: Payload): string {
  return typeof payload === "string" ? payload : String(Buffer.from(payload));
}

/** The position after a page. */
export function endOf({ from, items }: Page): Position {
  return items.reduce(positionAfter, from);
}

/** The position after some items, and the causes of the gaps that they make. */
export function follow(
  items: readonly Item[],
  position: Position,
): { position: Position; gaps: string[] } {
  const gaps: string[] = [];
  for (const item of items) {
    const gap = item.kind === "break" && gapOf(item, position.in(item.shard ?? 0));
    if (gap) gaps.push(gap.cause);
    position = positionAfter(position, item);
  }
  return { position, gaps };
}

/** The position of its first record, to ask for the page before it. */
export function front({ from, items }: Page): Position {
  return from.with(items.map(placeOf).find((place) => place)!);
}

/** A place, by default without a fingerprint. */
export function at(offset: number, shard = 0, fingerprint = ""): Place {
  return { shard, at: offset, sub: 0, fingerprint };
}

/** Reads the items of a tail one by one. */
export class TailReader {
  readonly #reader: RecordReader;
  #items: Item[] = [];

  /** Takes a tail. */
  constructor({ records }: Tail) {
    this.#reader = records as RecordReader;
  }

  /** The next so many items. */
  async take(count: number): Promise<Item[]> {
    while (this.#items.length < count) {
      this.#items.push(...await this.turn());
    }
    return this.#items.splice(0, count);
  }

  /** The items of the next read. */
  async turn(): Promise<readonly Item[]> {
    const { value, done } = await this.#reader.read();
    if (done) throw new Error("the tail has ended");
    return value;
  }

  /** The next so many items in short. */
  async briefs(count: number): Promise<(string | number)[]> {
    return (await this.take(count)).map(brief);
  }
}

/** Publishes to one channel in one turn; resolves with the positions. */
export function publish(
  backend: KafkaBackend,
  channel: string,
  payloads: readonly Payload[],
): Promise<(Position | undefined)[]> {
  return Promise.all(backend.publish(payloads.map((payload) => ({ channel, payload }))));
}
