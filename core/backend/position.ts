/**
 * Positions in a log: the place of the last record seen in each shard.
 *
 * @module
 */

import { base36 } from "../util/base36.ts";

/** The place of one record in a log. Places of one shard can be compared. */
export interface Place {
  /** A part of the log with its own order, such as a Kafka partition. 0 if there is only one. */
  readonly shard: number;
  /** An offset, a sequence number or a time. It grows within the shard, from 0 up to 2^53. */
  readonly at: number;
  /** Distinguishes records with the same `at`. */
  readonly sub: number;
  /**
   * Identifies the record, since a recreated log reuses its places. It may be a time, a short hash,
   * or a random number for each log: up to 16 of the characters `0-9 a-z`, empty if unknown.
   */
  readonly fingerprint: string;
}

/** Compares two places of one shard: negative if the first is before the other, 0 if equal. */
export function comparePlaces(one: Place, other: Place): number {
  return one.at - other.at || one.sub - other.sub;
}

const PLACE =
  /^(?:([0-9a-z]{1,6})-)?([0-9a-z]{1,11})(?:\.([0-9a-z]{1,11}))?(?:_([0-9a-z]{1,16}))?$/;

/** The last place seen in each shard. A shard without a place has not been seen. Immutable. */
export class Position {
  /** The position before all records. */
  static readonly start: Position = new Position([]);

  /** The last place of each shard. The place of the newest record is the first. */
  readonly places: readonly Place[];

  private constructor(places: readonly Place[]) {
    this.places = places;
  }

  /** The position after these places: at most one for each shard, the newest record's first. */
  static of(...places: readonly Place[]): Position {
    if (places.length === 1) return new Position(places);
    const [newest, ...others] = places;
    if (newest === undefined) return Position.start;
    return new Position([newest, ...others.sort((one, other) => one.shard - other.shard)]);
  }

  /**
   * Parses the text of a position, as written by `toString()`.
   *
   * @returns `undefined` if the text is not a position.
   */
  static parse(text: string): Position | undefined {
    if (text === "") return Position.start;
    const places: Place[] = [];
    for (const part of text.split("~")) {
      const match = PLACE.exec(part);
      if (!match) return undefined;
      const [shard, at, sub] = [match[1] ?? "0", match[2]!, match[3] ?? "0"].map(number);
      if (!Number.isSafeInteger(at) || !Number.isSafeInteger(sub)) return undefined;
      places.push({ shard: shard!, at: at!, sub: sub!, fingerprint: match[4] ?? "" });
    }
    const position = Position.of(...places);
    return position.toString() === text && new Set(places.map(({ shard }) => shard)).size ===
        places.length
      ? position
      : undefined;
  }

  /** The place of the newest record. */
  get newest(): Place | undefined {
    return this.places[0];
  }

  /** The last place seen in a shard, if any. */
  in(shard: number): Place | undefined {
    const { newest } = this;
    return newest?.shard === shard ? newest : this.places.find((place) => place.shard === shard);
  }

  /** Returns `true` if this position has seen the record at a place. */
  covers(place: Place): boolean {
    const last = this.in(place.shard);
    return last !== undefined && comparePlaces(last, place) >= 0;
  }

  /** Returns `true` if this position has seen everything that another position has seen. */
  reaches(other: Position): boolean {
    return other.places.every((place) => this.covers(place));
  }

  /** This position plus the record at a place. */
  with(place: Place): Position {
    if (this.covers(place)) return this;
    if (
      this.places.length === 0 || this.places.length === 1 && this.newest!.shard === place.shard
    ) {
      return new Position([place]);
    }
    return Position.of(place, ...this.places.filter(({ shard }) => shard !== place.shard));
  }

  /**
   * The position that has seen everything that this or another position of the same log has seen.
   */
  union(other: Position): Position {
    return other.places.reduce((seen: Position, place) => seen.with(place), this);
  }

  /** This position, limited to the shards of another position. */
  amongShardsOf(other: Position): Position {
    return Position.of(...this.places.filter(({ shard }) => other.in(shard)));
  }

  /** This position without a shard, as if none of its records had been seen. */
  without(shard: number): Position {
    return Position.of(...this.places.filter((place) => place.shard !== shard));
  }

  /** The position as text, of the characters `0-9 a-z . _ ~ -`. */
  toString(): string {
    return this.places.length === 1 ? textOf(this.places[0]!) : this.places.map(textOf).join("~");
  }
}

/** The last place that was written. A publisher and a subscriber in one process share it. */
let written: Place | undefined;
let text = "";

function textOf(place: Place): string {
  if (place === written) return text;
  const { shard, at, sub, fingerprint } = place;
  text = (shard === 0 ? "" : `${shard.toString(36)}-`) + base36(at) +
    (sub === 0 ? "" : `.${sub.toString(36)}`) + (fingerprint === "" ? "" : `_${fingerprint}`);
  written = place;
  return text;
}

function number(text: string): number {
  return parseInt(text, 36);
}
