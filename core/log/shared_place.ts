/**
 * Finds the newest record of this process that a rolled back log still has.
 *
 * @module
 */

import { gapOf } from "../backend/continuity.ts";
import type { Page, ReadOptions } from "../backend/contract.ts";
import { comparePlaces, type Place, type Position } from "../backend/position.ts";

/** Number of records per read. */
const PAGE = 256;

/** Reads items of the log. */
interface Log {
  items(options: ReadOptions): Promise<Page>;
}

/**
 * Finds the newest place up to which the log is unchanged. Every record, from the oldest on, must
 * come back with its fingerprint. A single match could be chance, since a fingerprint may be a hash
 * of the payload.
 *
 * @param log The current log.
 * @param position Position of the log's reader.
 * @param held Places of one shard that were read, oldest first.
 */
export async function newestShared(
  log: Log,
  position: Position,
  held: readonly Place[],
): Promise<Place | undefined> {
  const [oldest] = held;
  if (oldest === undefined) return undefined;
  const { shard } = oldest;
  let shared: Place | undefined;
  let after = oldest;
  for (let index = 1;;) {
    const from = position.without(shard).with(after);
    const { items } = await log.items({ after: from, limit: PAGE });
    const mine = items.filter((item) =>
      item.kind === "break"
        ? (item.shard ?? 0) === shard
        : "place" in item && item.place?.shard === shard
    );
    const [first] = mine;
    const isTrimmed = first?.kind === "break" && shared === undefined &&
      gapOf(first, after)?.cause === "trimmed";
    if (first?.kind === "break" && !isTrimmed) return shared;
    if (!isTrimmed) shared ??= after;
    for (const item of isTrimmed ? mine.slice(1) : mine) {
      if (item.kind === "break" || item.kind === "loss") return shared;
      const place = item.place!;
      // Skip records that were removed since, up to the oldest stored one.
      while (
        isTrimmed && shared === undefined && held[index] && comparePlaces(held[index]!, place) < 0
      ) index++;
      const next = held[index];
      if (next === undefined) return shared;
      const order = comparePlaces(place, next);
      // The record is not an event. It was also skipped at the first read.
      if (order < 0) continue;
      if (order > 0 || place.fingerprint !== next.fingerprint) return shared;
      shared = place;
      index++;
    }
    const last = mine.at(-1);
    if (index >= held.length || last === undefined || !("place" in last)) return shared;
    after = last.place!;
  }
}
