/**
 * What a backend is: every backend passes all of this against its real broker,
 * on every runtime.
 *
 * @module
 */

import { delivery } from "./conformance/delivery.ts";
import { endings } from "./conformance/endings.ts";
import { headers } from "./conformance/headers.ts";
import { keys } from "./conformance/keys.ts";
import { lifecycle } from "./conformance/lifecycle.ts";
import { patterns } from "./conformance/patterns.ts";
import { payloads } from "./conformance/payloads.ts";
import { resuming } from "./conformance/resuming.ts";
import { joining } from "./conformance/joining.ts";
import { replaying } from "./conformance/replaying.ts";
import { several } from "./conformance/several.ts";
import { values } from "./conformance/values.ts";
import { type Harness, prepare, type Runner } from "./conformance/harness.ts";

export type { Harness, Runner } from "./conformance/harness.ts";

/**
 * Registers the suite with a test runner.
 *
 * @param test Registers a case: `Deno.test`, or `test` of `node:test`.
 * @param harness What is tested.
 */
export function conformance(test: Runner, harness: Harness): void {
  const suite = prepare(test, harness);
  delivery(suite);
  payloads(suite);
  values(suite);
  headers(suite);
  lifecycle(suite);
  endings(suite);
  resuming(suite);
  replaying(suite);
  joining(suite);
  keys(suite);
  several(suite);
  patterns(suite);
}
