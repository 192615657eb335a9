/** Settings of databases and roles that change text and time: each event arrives as it was published. */

import { assertEquals } from "@std/assert";
import postgres from "postgres";
import { postgresStream } from "../../../backends/postgres/log.ts";
import { postgres as postgresSource } from "../../../backends/postgres/pubsub.ts";
import { Broadcast, bytes } from "../../../mod.ts";
import { take, uniqueChannel } from "../../conformance/harness.ts";
import { withBroker } from "../../services/broker.ts";
import { TestDatabase } from "./log/database.ts";

/** Values that nobody expects, all at once. */
const ODD: Readonly<Record<string, string>> = {
  "bytea_output": "escape",
  "datestyle": "SQL, DMY",
  "intervalstyle": "sql_standard",
  "timezone": "Asia/Kathmandu",
  "extra_float_digits": "-15",
  "standard_conforming_strings": "off",
  "backslash_quote": "on",
  "array_nulls": "off",
  "transform_null_equals": "on",
  "quote_all_identifiers": "on",
  "xmlbinary": "hex",
  "client_encoding": "LATIN1",
  "client_min_messages": "debug1",
  "search_path": "nowhere, public",
  "default_transaction_isolation": "serializable",
  "default_transaction_deferrable": "on",
  "row_security": "off",
  "statement_timeout": "20s",
  "lock_timeout": "10s",
  "idle_in_transaction_session_timeout": "1s",
  "idle_session_timeout": "1s",
  "plan_cache_mode": "force_custom_plan",
  "check_function_bodies": "off",
};

const PAYLOADS = ["plain", "ünïcödé 🎉", "\\x00", "\\000\\'", "null", "", '{"a": [1, null]}'];

withBroker("postgres", (url) => {
  for (const scheme of ["postgres", "postgres-stream"]) {
    for (const way of ["a URL", "a client"]) {
      Deno.test(`${scheme}: odd settings of a database change nothing, with ${way}`, async () => {
        await using database = await TestDatabase.create(url);
        const [{ name } = {}] = await database.sql`select current_database() as name`;
        for (const [setting, value] of Object.entries(ODD)) {
          await database.sql.unsafe(
            `alter database ${name} set ${setting} to ${
              setting === "search_path" ? value : `'${value}'`
            }`,
          );
        }
        const sql = way === "a client" ? postgres(database.url, { onnotice: () => {} }) : undefined;
        await using broadcast = new Broadcast(
          scheme === "postgres"
            ? sql ? postgresSource({ sql }) : database.url
            : sql
            ? postgresStream({ sql })
            : database.log,
        );
        const channel = uniqueChannel();
        const lost: string[] = [];
        broadcast.addEventListener("statechange", ({ state }) => lost.push(state));
        const subscription = await broadcast.subscribe(channel);
        const isLog = scheme === "postgres-stream";
        for (const [index, payload] of PAYLOADS.entries()) {
          const headers = isLog && index % 2 === 0 ? { index: String(index) } : undefined;
          const idempotencyKey = isLog && index % 3 === 0 ? `key ${index}` : undefined;
          await Promise.all([
            broadcast.publish(channel, payload, { headers, idempotencyKey }),
            // In the same statement, without any of both.
            broadcast.publish(`${channel} 2`, payload),
          ]);
        }
        const events = await take(subscription, PAYLOADS.length);
        assertEquals(events.map(({ message }) => message), PAYLOADS);
        assertEquals(lost.includes("reconnecting"), false);
        if (isLog) {
          const past = await broadcast.history(channel);
          assertEquals(past, events);
          const other = await broadcast.history(`${channel} 2`);
          assertEquals(other.map(({ message }) => message), PAYLOADS);
          const isRecent = ({ timestamp = 0 }) => Math.abs(Date.now() - timestamp) < 60_000;
          assertEquals(past.every(isRecent), true);
          assertEquals(past.map(({ headers }) => headers?.index), [
            "0",
            undefined,
            "2",
            undefined,
            "4",
            undefined,
            "6",
          ]);
        }
        await broadcast.disconnect();
        await sql?.end();
      });
    }
  }

  Deno.test("postgres-stream: all bytes arrive where bytea_output is escape, set for a role", async () => {
    await using database = await TestDatabase.create(url);
    const role = `broadcaster_${crypto.randomUUID().replaceAll("-", "")}`;
    await database.sql.unsafe(`create role ${role} superuser login`);
    await database.sql.unsafe(`alter role ${role} set bytea_output to 'escape'`);
    try {
      await using broadcast = new Broadcast(database.log.replace(/\/\/[^@]*@/, `//${role}@`), {
        codec: bytes(),
      });
      const channel = uniqueChannel();
      const subscription = await broadcast.subscribe(channel);
      const all = Uint8Array.from({ length: 256 }, (_, index) => index);
      await broadcast.publish(channel, all);
      const [event] = await take(subscription, 1);
      assertEquals(event!.message, all);
    } finally {
      await database.sql.unsafe(`drop owned by ${role}`);
      await database.sql.unsafe(`drop role ${role}`);
    }
  });
});
