/**
 * Turns a break in a log into a gap with its cause and count, and decides where the log continues.
 *
 * @module
 */

import type { Item, LogBreak } from "./contract.ts";
import type { GapCause } from "./event.ts";
import { comparePlaces, type Place, Position } from "./position.ts";

/** Records are missing after a position. */
export interface LogGap {
  /** Why records are missing. */
  readonly cause: GapCause & ("trimmed" | "rollback" | "reset");
  /** The exact number of missing records, if known. */
  readonly missed?: number;
}

/**
 * The gap that a break means for a reader, or `undefined` if there is none.
 *
 * | the log | the newest place of the channel | removed | gap |
 * |---|---|---|---|
 * | recreated | | | `reset` |
 * | replaced the record | | | `rollback` if the log is known to be the same, otherwise `reset` |
 * | | before the reader's | | `rollback` |
 * | | the reader's | | none |
 * | | after it, or unknown | none, or 0 | none |
 * | | after it, or unknown | N | `trimmed`, N missed |
 * | | after it, or unknown | some, or unknown | `trimmed` |
 *
 * @param found The facts that the backend reported.
 * @param at The last place that the reader has seen in that shard, if any.
 */
export function gapOf(found: LogBreak, at: Place | undefined): LogGap | undefined {
  const { recreated, replaced, head, removed } = found;
  if (recreated === true) return { cause: "reset" };
  if (replaced === true) return { cause: recreated === false ? "rollback" : "reset" };
  const order = head === undefined || at === undefined ? 1 : comparePlaces(head, at);
  if (order < 0) return { cause: "rollback" };
  if (order === 0 || removed === "none" || removed === 0) return undefined;
  return { cause: "trimmed", ...typeof removed === "number" && { missed: removed } };
}

/** Returns `true` if places before and after a gap can be compared. */
export function isComparable({ cause }: LogGap): boolean {
  return cause === "trimmed";
}

/**
 * Removes repeated breaks. Every shard of a recreated log reports a break, and the first break
 * concerns all shards.
 */
export function withoutRepeatedBreaks(items: readonly Item[]): readonly Item[] {
  if (!hasBreak(items)) return items;
  let isRecreated = false;
  return items.filter((item) => {
    if (item.kind === "record") isRecreated = false;
    if (item.kind !== "break") return true;
    const isRepeated = isRecreated && item.recreated === true;
    isRecreated = item.recreated === true;
    return !isRepeated;
  });
}

function hasBreak(items: readonly Item[]): boolean {
  for (const { kind } of items) if (kind === "break") return true;
  return false;
}

/**
 * The position after an item. A shard whose places can no longer be compared starts over. If the
 * log was recreated, all shards do.
 */
export function positionAfter(position: Position, item: Item): Position {
  if (item.kind === "break") {
    const { shard = 0, recreated } = item;
    const gap = gapOf(item, position.in(shard));
    if (!gap || isComparable(gap)) return position;
    return recreated === true ? Position.start : position.without(shard);
  }
  return "place" in item && item.place ? position.with(item.place) : position;
}
