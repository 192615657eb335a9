/** What a server says before it closes a connection. */

import { assertEquals } from "@std/assert";
import { fatalErrorIn } from "../../../backends/postgres/fatal.ts";
import { meaningOf } from "../../../backends/postgres/errors.ts";

const READY = message("Z", "I");
const SHUTDOWN = message(
  "E",
  ["SFATAL", "VFATAL", "C57P01", "Mterminating connection", "Fpostgres.c", "", ""].join("\0"),
);

/** A message of the protocol: a type, the length with itself, and the fields. */
function message(type: string, fields: string): number[] {
  const bytes = new TextEncoder().encode(fields);
  const length = bytes.length + 4;
  return [type.charCodeAt(0), 0, 0, length >> 8, length & 0xff, ...bytes];
}

function read(...messages: readonly number[][]): Error | undefined {
  return fatalErrorIn(Uint8Array.from(messages.flat()));
}

Deno.test("postgres: the last message of a server is its reason", () => {
  for (const messages of [[SHUTDOWN], [READY, SHUTDOWN]]) {
    const error = read(...messages)!;
    assertEquals([error.message, meaningOf(error)], ["terminating connection", "lost"]);
  }
});

Deno.test("postgres: a pooler's error has no severity but the first field", () => {
  const error = read(message("E", "SFATAL\0C08P01\0Mquery_wait_timeout\0\0"))!;
  assertEquals([error.message, meaningOf(error)], ["query_wait_timeout", "lost"]);
});

Deno.test("postgres: an error that does not end a connection, or is not the last message, is no reason", () => {
  assertEquals(read(message("E", "SERROR\0VERROR\0C42P01\0Mno table\0\0")), undefined);
  assertEquals(read(message("E", "SFATAL\0\0")), undefined);
  assertEquals(read(SHUTDOWN, READY), undefined);
  assertEquals(read(READY), undefined);
  assertEquals(read(), undefined);
});

Deno.test("postgres: bytes that start within a message are no reason, and are read to their end", () => {
  for (let start = 1; start < SHUTDOWN.length; start++) {
    assertEquals(read(SHUTDOWN.slice(start)), undefined);
    assertEquals(read(SHUTDOWN.slice(0, start)), undefined);
  }
  assertEquals(read([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), undefined);
});
