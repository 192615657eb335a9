/**
 * What one read of a branch resolves with.
 *
 * @module
 */

import type { BroadcastEvent } from "./event.ts";

/** An event, as a ready iterator result. */
export type Delivery<Message> = IteratorYieldResult<BroadcastEvent<Message>>;

/** An event, or the end. */
export type Result<Message> = IteratorResult<BroadcastEvent<Message>, undefined>;

/** Resolves a read; with a promise that rejects, too. */
export type Waiter<Message> = (result: Result<Message> | Promise<Result<Message>>) => void;

/** The end. */
export const DONE: IteratorReturnResult<undefined> = { done: true, value: undefined };

/** What a read that was withdrawn resolves with, told from `DONE` by identity. It has taken nothing. */
export const WITHDRAWN: IteratorReturnResult<undefined> = { done: true, value: undefined };
