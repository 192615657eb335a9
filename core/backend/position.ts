/**
 * Positions in a log: for each shard, the place of the last record seen.
 *
 * @module
 */

/** Where one record lies in a log: comparable to others of its shard. */
export interface Place {
  /** What orders its records by itself: a Kafka partition; 0 where there is one order. */
  readonly shard: number;
  /** Grows within the shard: an offset, a sequence, a time. From 0 up to 2^53. */
  readonly at: number;
  /** Tells records apart that have the same `at`. */
  readonly sub: number;
  /**
   * Recognises the record, where a log that is begun anew gives its places
   * again: a time, a short hash, a number drawn for each log. Empty if nothing
   * is known; up to 16 of the characters `0-9 a-z`.
   */
  readonly fingerprint: string;
}

/** Whether a place lies before another of its shard: negative if so, 0 if they are equal. */
export function comparePlaces(one: Place, other: Place): number {
  return one.at - other.at || one.sub - other.sub;
}

const PLACE =
  /^(?:([0-9a-z]{1,6})-)?([0-9a-z]{1,11})(?:\.([0-9a-z]{1,11}))?(?:_([0-9a-z]{1,16}))?$/;

/**
 * The set of what was seen: for each shard the last place. A shard that it does
 * not have was not begun. Immutable.
 */
export class Position {
  /** Before everything. */
  static readonly start: Position = new Position([]);

  /** The last places, one for each shard: that of the newest record first. */
  readonly places: readonly Place[];

  private constructor(places: readonly Place[]) {
    this.places = places;
  }

  /** The position behind these places, at most one of each shard: of the newest record first. */
  static of(...places: readonly Place[]): Position {
    const [newest, ...others] = places;
    if (newest === undefined) return Position.start;
    return new Position([newest, ...others.sort((one, other) => one.shard - other.shard)]);
  }

  /**
   * Reads what `toString()` wrote.
   *
   * @returns `undefined` if it is not the text of a position.
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

  /** The last place in a shard, if that was begun. */
  in(shard: number): Place | undefined {
    const { newest } = this;
    return newest?.shard === shard ? newest : this.places.find((place) => place.shard === shard);
  }

  /** Whether the record of a place was seen. */
  covers(place: Place): boolean {
    const last = this.in(place.shard);
    return last !== undefined && comparePlaces(last, place) >= 0;
  }

  /** Whether it has seen, in every shard, all that another position has. */
  reaches(other: Position): boolean {
    return other.places.every((place) => this.covers(place));
  }

  /** The position once the record of a place was seen too. */
  with(place: Place): Position {
    if (this.covers(place)) return this;
    if (
      this.places.length === 0 || this.places.length === 1 && this.newest!.shard === place.shard
    ) {
      return new Position([place]);
    }
    return Position.of(place, ...this.places.filter(({ shard }) => shard !== place.shard));
  }

  /** All that this position or another one of the same log has seen. */
  union(other: Position): Position {
    return other.places.reduce((seen: Position, place) => seen.with(place), this);
  }

  /** A text of the characters `0-9 a-z . _ ~ -`. */
  toString(): string {
    return this.places.length === 1 ? textOf(this.places[0]!) : this.places.map(textOf).join("~");
  }
}

function textOf({ shard, at, sub, fingerprint }: Place): string {
  return (shard === 0 ? "" : `${shard.toString(36)}-`) + at.toString(36) +
    (sub === 0 ? "" : `.${sub.toString(36)}`) + (fingerprint === "" ? "" : `_${fingerprint}`);
}

function number(text: string): number {
  return parseInt(text, 36);
}
