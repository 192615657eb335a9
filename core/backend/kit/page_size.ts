/**
 * The page size: the number of records to request from a log at once.
 *
 * @module
 */

import type { Item } from "../contract.ts";
import { weightOf } from "./queue_tail.ts";

/** The size of the first page, before any payload size is known, and the maximum. */
const FIRST_PAGE = 64;
const LONGEST_PAGE = 1_024;
/** The target size of a page in bytes, approximately. */
const PAGE_BYTES = 1024 * 1024;

/** Limits the pages of a log in bytes, based on the record sizes of the previous page. */
export class PageSize {
  /** The number of records to request. */
  count: number = FIRST_PAGE;

  /** Adjusts `count` to the average size of these items. */
  learn(items: readonly Item[]): void {
    if (items.length === 0) return;
    let bytes = 0;
    for (const item of items) if (item.kind === "record") bytes += weightOf(item);
    const fitting = Math.floor(PAGE_BYTES / Math.max(1, bytes / items.length));
    this.count = Math.max(1, Math.min(LONGEST_PAGE, this.count * 4, fitting));
  }
}
