/** The meanings of MQTT's reason codes. */

import { assertEquals } from "@std/assert";
import { explain, isRefusal } from "../../../backends/mqtt/errors.ts";
import { ConnectionError, type RefusedError } from "../../../mod.ts";

/** An error as the client has it. */
function failure(code: number | string): Error {
  return Object.assign(new Error("text"), { code });
}

Deno.test("mqtt: failures are refusals, except those of a server that is busy or stopping", () => {
  for (const code of [0x80, 0x83, 0x85, 0x86, 0x87, 0x8f, 0x90, 0x95, 0x99, 0x9e, 0xa2]) {
    const error = failure(code);
    const { name, message, cause } = explain(error) as RefusedError;
    assertEquals([name, message, cause], ["RefusedError", "text", error]);
  }
  for (const code of [0x88, 0x89, 0x97, 0x9f]) {
    const error = failure(code);
    assertEquals(explain(error) instanceof ConnectionError, true);
    assertEquals(explain(error).cause, error);
  }
});

Deno.test("mqtt: successes and errors of sockets are no refusals", () => {
  for (const error of [failure(0), failure(0x10), failure("ECONNRESET"), new Error(), undefined]) {
    assertEquals(isRefusal(error), false);
  }
});
