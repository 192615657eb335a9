/** The meaning of each error of a Postgres server. */

import { assertEquals, assertRejects } from "@std/assert";
import { answered, type Meaning, meaningOf } from "../../../backends/postgres/errors.ts";
import { ConnectionError, RefusedError } from "../../../mod.ts";

const MEANINGS: readonly [code: string, what: string, meaning: Meaning][] = [
  ["08006", "a connection failure", "lost"],
  ["57P01", "a shutdown", "lost"],
  ["57P03", "a start", "lost"],
  ["53300", "too many connections", "lost"],
  ["53100", "a full disk", "exhausted"],
  ["53200", "no memory", "exhausted"],
  ["0A000", "a missing feature", "refused"],
  ["22021", "text that is no UTF-8", "refused"],
  ["28P01", "a wrong password", "refused"],
  ["3D000", "a missing database", "refused"],
  ["3F000", "a missing schema", "refused"],
  ["42501", "a missing right", "refused"],
  ["57014", "a timeout", "other"],
  ["40P01", "a deadlock", "other"],
];

function postgresError(code: string): Error {
  return Object.assign(new Error("reason"), { name: "PostgresError", code });
}

for (const [code, what, meaning] of MEANINGS) {
  Deno.test(`postgres: ${what} (${code}) means ${meaning}`, () => {
    assertEquals(meaningOf(postgresError(code)), meaning);
  });
}

Deno.test("postgres: an error that the server did not send is a lost connection", () => {
  const error = Object.assign(new Error("write CONNECTION_CLOSED"), { code: "CONNECTION_CLOSED" });
  assertEquals(meaningOf(error), "lost");
});

Deno.test("postgres: a statement rejects by the meaning, and an error is wrapped once", async () => {
  const [lost, refused, other] = ["57P01", "42501", "57014"].map(postgresError);
  const asLost = await assertRejects(() => answered(Promise.reject(lost)), ConnectionError);
  const asRefused = await assertRejects(() => answered(Promise.reject(refused)), RefusedError);
  const asOther = await assertRejects(() => answered(Promise.reject(other)));
  assertEquals([asLost.cause, asRefused.cause, asOther], [lost, refused, other]);
  assertEquals(asRefused.message, "reason");
});
