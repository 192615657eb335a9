/**
 * Refuses at the call what a backend cannot do: history, patterns, headers, keys.
 *
 * @module
 */

import type { Backend, PayloadOptions } from "../backend/contract.ts";
import { HEADERS } from "../backend/headers.ts";
import { KEYED } from "../backend/idempotency_key.ts";
import { type Named, nameOf } from "../backend/name.ts";
import { Pattern } from "../backend/pattern.ts";

/** The backends that keep a log. */
export const LOGS = [
  "memory",
  "redis-stream",
  "postgres-stream",
  "kafka",
  "amqp-stream",
  "nats-stream",
] as const;

/** Where a subscription is to start. */
export interface AskedStart {
  /** With so many of the most recent events. */
  readonly history?: number | undefined;
  /** Behind the event of this id. */
  readonly after?: string | undefined;
  /** What to do when `after` is not an id of this channel. */
  readonly foreign?: "error" | "gap" | undefined;
}

/**
 * Refuses a subscription that the backend cannot serve.
 *
 * @throws {TypeError} If it has no log, or no patterns.
 */
export function checkCapabilities(
  backend: Backend,
  target: string | readonly string[] | Pattern,
  { after, foreign, history = 0 }: AskedStart,
): void {
  const { log, patterns, patternLog } = backend.features;
  if (!(target instanceof Pattern)) {
    if (history > 0 && !log) throw noLogError(backend, target);
    return;
  }
  if (!patterns) {
    throw new TypeError(
      `Cannot subscribe to ${
        nameOf(target)
      }: ${backend.name} has no patterns, name the channels instead`,
    );
  }
  const asksForPast = history > 0 || after !== undefined && foreign !== "gap";
  if (asksForPast && !patternLog) {
    throw new TypeError(
      `Cannot resume ${
        nameOf(target)
      }: on ${backend.name} no position covers all channels of a pattern, name the channels instead`,
    );
  }
}

/**
 * Refuses a message that the backend cannot carry as it is asked to.
 *
 * @throws {TypeError} If its broker has no headers, or knows no keys.
 */
export function checkPublishing(
  backend: Backend,
  channel: string,
  { headers, once }: PayloadOptions,
): void {
  const { name, features } = backend;
  if (headers && !features.headers) {
    throw new TypeError(
      `Cannot publish to "${channel}" with headers: ${name} has none${elsewhere(backend, HEADERS)}`,
    );
  }
  if (once && !features.keys) {
    throw new TypeError(
      `Cannot publish to "${channel}" with a key: ${name} knows no keys${
        elsewhere(backend, KEYED)
      }`,
    );
  }
}

/** Why a channel has no history. */
export function noLogError(
  backend: Backend,
  target: Named,
  what = "read history of",
): TypeError {
  return new TypeError(
    `Cannot ${what} ${nameOf(target)}: ${backend.name} keeps no log${elsewhere(backend, LOGS)}`,
  );
}

/** Where something is to be had that a backend has not: memory has it, unless it is to keep nothing. */
function elsewhere({ name }: Backend, backends: readonly string[]): string {
  return backends.includes(name)
    ? " with history=0"
    : `, backends that do are ${backends.join(", ")}`;
}
