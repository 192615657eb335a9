/**
 * The conformance suite: every backend passes it against its real broker, on every runtime.
 *
 * @module
 */

import { control } from "./control.ts";
import { delivery } from "./delivery.ts";
import { endings } from "./endings.ts";
import { type Harness, prepare, type Runner } from "./harness.ts";
import { headers } from "./headers.ts";
import { joining } from "./joining.ts";
import { keys } from "./keys.ts";
import { lifecycle } from "./lifecycle.ts";
import { numbers } from "./numbers.ts";
import { patterns } from "./patterns.ts";
import { payloads } from "./payloads.ts";
import { replaying } from "./replaying.ts";
import { resuming } from "./resuming.ts";
import { several } from "./several.ts";
import { values } from "./values.ts";

export type { Harness, Runner, TestedFeatures } from "./harness.ts";

/**
 * Registers the suite with a test runner.
 *
 * @param test The test runner: `Deno.test`, or `test` of `node:test`.
 * @param harness The backend to test.
 */
export function conformance(test: Runner, harness: Harness): void {
  const suite = prepare(test, harness);
  delivery(suite);
  payloads(suite);
  values(suite);
  headers(suite);
  lifecycle(suite);
  numbers(suite);
  endings(suite);
  control(suite);
  resuming(suite);
  replaying(suite);
  joining(suite);
  keys(suite);
  several(suite);
  patterns(suite);
}
