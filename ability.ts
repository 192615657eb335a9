/**
 * What a backend can do, and what is refused at the call.
 *
 * @module
 */

import type { Backend, PayloadOptions } from "./backend.ts";
import { HEADERS } from "./headers.ts";
import { KEYED } from "./once.ts";
import { Pattern } from "./pattern.ts";
import type { StartOptions } from "./start.ts";
import { nameOf, type SubscribeTarget } from "./target.ts";

/** The backends that keep a log. */
export const LOGS = [
  "memory",
  "redis-stream",
  "postgres-stream",
  "kafka",
  "amqp-stream",
  "nats-stream",
] as const;

/**
 * Refuses a subscription that the backend cannot serve.
 *
 * @throws {TypeError} If it has no log, or no patterns.
 */
export function checkAbility(
  backend: Backend,
  target: string | readonly string[] | Pattern,
  { after, foreign, history = 0 }: StartOptions,
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
  target: SubscribeTarget | Pattern,
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
