/**
 * The size of a page: how many records of a log to ask for at once.
 *
 * @module
 */

import type { Item } from "../contract.ts";
import { weightOf } from "./queue_tail.ts";

/** What a page has at first, before anything is known of the payloads, and at most. */
const FIRST_PAGE = 64;
const LONGEST_PAGE = 1_024;
/** What the records of a page should take together, about. */
const PAGE_BYTES = 1024 * 1024;

/** Bounds the pages of a log in bytes, by what the records of the page before took. */
export class PageSize {
  /** How many records to ask for. */
  count: number = FIRST_PAGE;

  /** So many as fit next time, if they are of the size that these are. */
  learn(items: readonly Item[]): void {
    if (items.length === 0) return;
    let bytes = 0;
    for (const item of items) if (item.payload !== undefined) bytes += weightOf(item);
    const fitting = Math.floor(PAGE_BYTES / Math.max(1, bytes / items.length));
    this.count = Math.max(1, Math.min(LONGEST_PAGE, this.count * 4, fitting));
  }
}
