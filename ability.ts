/**
 * What a backend can do, and what is refused at the call.
 *
 * @module
 */

import type { Backend } from "./backend.ts";
import { noLogError } from "./log.ts";
import type { SubscribeOptions } from "./options.ts";
import { Pattern } from "./pattern.ts";
import { nameOf } from "./target.ts";

/**
 * Refuses a subscription that the backend cannot serve.
 *
 * @throws {TypeError} If it has no log, or no patterns.
 */
export function checkAbility(
  backend: Backend,
  target: string | readonly string[] | Pattern,
  { after, foreign, history = 0 }: SubscribeOptions,
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
