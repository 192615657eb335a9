/** The errors of ioredis. */

import { assertEquals } from "@std/assert";
import { redirectionOf } from "../../../../backends/redis/errors.ts";

const MOVED = { kind: "MOVED", slot: 7, hostname: "127.0.0.1", port: 7001 } as const;

Deno.test("redis: a redirection is found alone, in a transaction, and nowhere else", () => {
  const moved = new Error("MOVED 7 127.0.0.1:7001");
  const aborted = Object.assign(new Error("EXECABORT"), { previousErrors: [moved] });
  assertEquals([redirectionOf(moved), redirectionOf(aborted)], [MOVED, MOVED]);
  for (const other of [new Error("ERR"), undefined, null, "text"]) {
    assertEquals(redirectionOf(other), undefined);
  }
});

Deno.test("redis: an error of ioredis that lists itself ends", () => {
  const error: Error & { previousErrors?: Error[] } = new Error("Connection is closed.");
  error.previousErrors = [error];
  assertEquals(redirectionOf(error), undefined);
});
