/** `postgres()` and `postgresStream()`: their options, and the clients that they refuse. */

import { assertEquals, assertThrows } from "@std/assert";
import * as library from "postgres";
import postgres, { type Sql } from "postgres";
import pg from "npm:pg@^8.16.0";
import { postgresStream } from "../../../backends/postgres/log.ts";
import { postgres as postgresSource } from "../../../backends/postgres/pubsub.ts";

const WANTED =
  "Cannot use client: it must be a client of the library postgres, postgres(url), it is";

/** Clients that are none of the library `postgres`, and their names in the message. */
const WRONG: Record<string, readonly [given: unknown, shown: string]> = {
  "a Pool of pg": [new pg.Pool(), "a Pool of pg"],
  "a Client of pg": [new pg.Client(), "a Client of pg"],
  "the function postgres": [postgres, "the function postgres itself, call it"],
  "a module": [library, "a module"],
  "a promise": [Promise.resolve(postgres()), "a promise, await it first"],
  "a class": [class {}, "a class, call it with new"],
  "null": [null, "null"],
  "a URL": ["postgres://localhost", "a string"],
  "the client of a transaction": [{ savepoint() {} }, "the client of a transaction"],
  "a reserved connection": [{ release() {} }, "a reserved connection"],
};

for (
  const [name, factory] of Object.entries({ postgres: postgresSource, postgresStream })
) {
  for (const [kind, [given, shown]] of Object.entries(WRONG)) {
    Deno.test(`${name}(): ${kind} is refused as a client`, () => {
      const error = assertThrows(() => factory({ sql: given as Sql }), TypeError);
      assertEquals(error.message, `${WANTED} ${shown}`);
    });
  }

  Deno.test(`${name}(): a client is taken without connecting`, () => {
    const { address } = factory({ sql: postgres() });
    assertEquals([...address.parameters], []);
  });

  Deno.test(`${name}(): options of a connection are refused beside a client`, () => {
    const sql = postgres();
    for (const option of ["sslmode", "ca", "cert", "key"]) {
      assertThrows(
        () => factory({ sql, [option]: "require" }),
        TypeError,
        `Cannot use parameter "${option}": a client is given, which has its own`,
      );
    }
  });

  Deno.test(`${name}(): a URL of another scheme is refused`, () => {
    assertThrows(
      () => factory({ url: "redis://localhost" }),
      TypeError,
      'Cannot open "redis://localhost": its scheme must be postgres',
    );
  });
}

Deno.test("postgres(): its options are the parameters of its URL, which win", () => {
  const { address } = postgresSource({
    url: "postgresql://me@localhost/app?sslmode=require",
    sslmode: "disable",
    ca: "a.pem",
    cert: "b.pem",
    key: "c.pem",
  });
  assertEquals([String(address), Object.fromEntries(address.parameters)], [
    "postgresql://localhost/app",
    { sslmode: "require", ca: "a.pem", cert: "b.pem", key: "c.pem" },
  ]);
});

Deno.test("postgresStream(): its options are the parameters of its URL", () => {
  for (
    const [retention, text] of [[1_500, "1.5s"], ["12h", "12h"], ["forever", "forever"]] as const
  ) {
    const { address } = postgresStream({ retention, pool: 3, sslmode: "prefer" });
    assertEquals([String(address), Object.fromEntries(address.parameters)], [
      "postgres-stream://",
      { sslmode: "prefer", retention: text, pool: "3" },
    ]);
  }
});
