/** The objects of the log in the database: their schema, their owners, and copies of them. */

import { assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { join } from "node:path";
import { migration, postgresStream } from "../../../../backends/postgres/log.ts";
import { Broadcast, RefusedError } from "../../../../mod.ts";
import { messages, take, uniqueChannel } from "../../../conformance/harness.ts";
import { withBroker } from "../../../services/broker.ts";
import { run } from "../../../services/debian.ts";
import { command } from "../../../services/postgres.ts";
import { TestDatabase } from "./database.ts";

/** Cases on schemas and owners. */
function objects(server: string): void {
  Deno.test("postgres-stream: the log is in the schema broadcaster, and nothing is in others", async () => {
    await using database = await TestDatabase.create(server);
    await using broadcast = new Broadcast(database.log);
    await broadcast.publish("chatroom", "hello");
    const rows = await database.sql`select distinct nspname from pg_class join pg_namespace as space
      on space.oid = relnamespace where nspname !~ '^pg_|^information_schema'`;
    assertEquals([...rows], [{ nspname: "broadcaster" }]);
  });

  Deno.test("postgres-stream: two schemas in one database are two logs", async () => {
    await using database = await TestDatabase.create(server);
    const schemas = ["Events", "événements & more", "select"];
    const logs = [
      new Broadcast(database.log),
      ...schemas.map((schema) =>
        new Broadcast(`${database.log}?schema=${encodeURIComponent(schema)}`)
      ),
      new Broadcast(postgresStream({ sql: database.sql, schema: "of a client" })),
    ];
    const channel = uniqueChannel();
    const subscriptions = await Promise.all(logs.map((log) => log.subscribe(channel)));
    await Promise.all(logs.map((log, n) => log.publish(channel, `to ${n}`)));
    await database.sql`select "Events".publish(${channel}, 'of sql')`;
    await Promise.all(logs.map((log) => log.publish(channel, "last")));
    for (const [n, subscription] of subscriptions.entries()) {
      const expected = [`to ${n}`, ...n === 1 ? ["of sql"] : [], "last"];
      assertEquals(await messages(subscription, expected.length), expected);
    }
    // One transaction that publishes to two logs.
    await database.sql.begin(async (sql) => {
      await sql`select "Events".publish(${channel}, 'both')`;
      await sql`select broadcaster.publish(${channel}, 'both')`;
    });
    assertEquals(await messages(subscriptions[0]!, 1), ["both"]);
    assertEquals(await messages(subscriptions[1]!, 1), ["both"]);
    await Promise.all(logs.map((log) => log.disconnect()));
  });

  Deno.test("postgres-stream: a name that cannot be that of a schema is refused", async () => {
    const cases = [
      ["", `Cannot use schema "": the name is empty`],
      [
        "x".repeat(64),
        `Cannot use schema "${"x".repeat(64)}": the name has 64 bytes, the limit is 63`,
      ],
      [
        'a".b',
        `Cannot use schema "a\\".b": the name has a quote, a backslash, a dollar sign or a control character`,
      ],
      ["pg_catalog", `Cannot use schema "pg_catalog": the name is reserved by Postgres`],
    ] as const;
    for (const [schema, message] of cases) {
      assertEquals(assertThrows(() => postgresStream({ schema }), TypeError).message, message);
      assertThrows(() => migration(schema), TypeError);
      await using broadcast = new Broadcast(
        `${server.replace(/^[^:]*/, "postgres-stream")}?schema=${encodeURIComponent(schema)}`,
      );
      assertEquals((await assertRejects(() => broadcast.connect(), TypeError)).message, message);
    }
  });

  Deno.test("postgres-stream: the role that makes a log first does not become a superuser by it", async () => {
    await using database = await TestDatabase.create(server);
    const mallory = await database.role("mallory");
    await database.sql.unsafe(`do $$ begin
      execute format('grant create on database %I to ${mallory}', current_database()); end $$`);
    const evil = database.as(mallory);
    await evil.unsafe(migration());
    await evil.unsafe(`create function broadcaster.steal() returns trigger language plpgsql as
      $$ begin alter role ${mallory} superuser; return new; end $$;
      create trigger steal before insert on broadcaster.log
        for each row execute function broadcaster.steal();
      create or replace function broadcaster.state() returns table (version int, is_complete boolean,
        missing text, altered text) language plpgsql as
      $$ begin alter role ${mallory} superuser; return query select 1, true, null, null; end $$`);
    const error = await refusal(database.log);
    assertMatch(
      error,
      /schema "broadcaster" belongs to role "mallory_\w+", which could run code with the rights of this role: connect as "mallory_\w+", let a superuser or the owner of the database own it, or name another schema with \?schema=$/,
    );
    await using own = new Broadcast(`${database.log}?schema=own`);
    await own.publish("chatroom", "hello");
    const [row] = await database.sql`select rolsuper from pg_roles where rolname = ${mallory}`;
    assertEquals(row, { rolsuper: false });
  });

  Deno.test("postgres-stream: what others could run code by is refused, and says what to do", async () => {
    await using database = await TestDatabase.create(server);
    const { sql } = database;
    const mallory = await database.role("mallory");
    await using first = new Broadcast(database.log);
    await first.connect();
    const cases = [
      [
        `grant create on schema broadcaster to ${mallory}`,
        `revoke create on schema broadcaster from ${mallory}`,
        /: role "mallory_\w+" has the right CREATE on schema "broadcaster", so it could run code with the rights of others: revoke it, or name another/,
      ],
      [
        "grant all on schema broadcaster to public",
        "revoke all on schema broadcaster from public",
        /: role "public" has the right CREATE on schema "broadcaster"/,
      ],
      [
        `grant all on all tables in schema broadcaster to ${mallory}`,
        `revoke all on all tables in schema broadcaster from ${mallory}`,
        /: role "mallory_\w+" has the right TRIGGER on \w+ in schema "broadcaster"/,
      ],
      [
        `alter table broadcaster.outbox owner to ${mallory}`,
        "alter table broadcaster.outbox owner to current_user",
        /: outbox in schema "broadcaster" belongs to role "mallory_\w+"/,
      ],
      [
        `create function broadcaster.store(text[], bytea[], jsonb[], text[], bigint[]) returns int
          language sql as 'select 1';
        alter function broadcaster.store(text[], bytea[], jsonb[], text[], bigint[]) owner to ${mallory}`,
        "drop function broadcaster.store(text[], bytea[], jsonb[], text[], bigint[])",
        /: store in schema "broadcaster" belongs to role "mallory_\w+"/,
      ],
      [
        `create function public.spy() returns trigger language plpgsql as 'begin return new; end';
        create trigger spy before insert on broadcaster.log for each row execute function public.spy();
        alter function public.spy() owner to ${mallory}`,
        "drop function public.spy() cascade",
        /: trigger spy in schema "broadcaster" belongs to role "mallory_\w+"/,
      ],
    ] as const;
    for (const [harm, undo, message] of cases) {
      await sql.unsafe(harm);
      assertMatch(await refusal(database.log), message);
      await sql.unsafe(undo);
      await using broadcast = new Broadcast(database.log);
      await broadcast.connect();
    }
  });

  Deno.test("postgres-stream: a log in public is refused only where others may create there", async () => {
    await using database = await TestDatabase.create(server);
    const log = `${database.log}?schema=public`;
    await database.sql`grant create on schema public to public`;
    assertMatch(await refusal(log), /role "public" has the right CREATE on schema "public"/);
    await database.sql`revoke create on schema public from public`;
    await using broadcast = new Broadcast(log);
    const subscription = await broadcast.subscribe("chatroom");
    await broadcast.publish("chatroom", "hello");
    assertEquals(await messages(subscription, 1), ["hello"]);
  });

  Deno.test("postgres-stream: a superuser trusts no other owner, the owner and its members trust it", async () => {
    await using database = await TestDatabase.create(server);
    const owner = await database.ownedBy("owner");
    await using log = new Broadcast(database.logAs(owner));
    await log.connect();
    assertMatch(await refusal(database.log), /schema "broadcaster" belongs to role "owner_/);
    const [member, stranger] = [await database.role("member"), await database.role("stranger")];
    await database.sql`alter database ${database.sql(new URL(database.url).pathname.slice(1))}
      owner to current_user`;
    assertMatch(await refusal(database.logAs(stranger)), /belongs to role "owner_/);
    await database.sql.unsafe(`grant ${owner} to ${member}`);
    await using broadcast = new Broadcast(database.logAs(member));
    await broadcast.publish("chatroom", "hello");
  });

  Deno.test("postgres-stream: operators and functions of others are not called", async () => {
    await using database = await TestDatabase.create(server);
    const mallory = await database.role("mallory");
    await database.sql`grant create on schema public to public`;
    const evil = database.as(mallory);
    // Each matches what a careless statement has better than what Postgres has.
    const functions = [
      ["evil_times(numeric, int)", "numeric", "*", "numeric, int"],
      ["evil_concat(text, oid)", "text", "||", "text, oid"],
      ["evil_equal(name, text)", "boolean", "=", "name, text"],
      ["evil_in(bigint, numeric)", "boolean", "<=", "bigint, numeric"],
    ];
    for (const [name, result, operator, operands] of functions) {
      await evil.unsafe(`create function public.${name} returns ${result} language plpgsql as
        $$ begin execute 'alter role ${mallory} superuser'; return null; end $$;
        create operator public.${operator} (function = public.${
        name!.replace(/\(.*/, "")
      }, leftarg = ${operands!.replace(",", ", rightarg =")})`);
    }
    for (const name of ["hashtext(varchar)", "octet_length(varchar)", "md5(varchar)"]) {
      await evil.unsafe(`create function public.${name} returns int language plpgsql as
        $$ begin execute 'alter role ${mallory} superuser'; return null; end $$`);
    }
    const borrowed = postgresStream({ sql: database.sql, retention: "1s" });
    for (const log of [`${database.log}?retention=2s`, borrowed]) {
      await using broadcast = new Broadcast(log, { linger: 0 });
      const subscription = await broadcast.subscribe("a.b");
      const pattern = await broadcast.subscribe({ pattern: "a.*" });
      const id = await broadcast.publish("a.b", "one", {
        idempotencyKey: "k",
        headers: { a: "b" },
      });
      await database.sql`select broadcaster.publish('a.b', 'two')`;
      assertEquals(await messages(subscription, 2), ["one", "two"]);
      assertEquals(await messages(pattern, 2), ["one", "two"]);
      await database.sql`delete from broadcaster.log where payload = 'one'`;
      await broadcast.history("a.b", { after: id! });
      await database.sql`select broadcaster.store(null, null)`;
      await database.sql`truncate broadcaster.log`;
    }
    const [row] = await database.sql`select rolsuper from pg_roles where rolname = ${mallory}`;
    assertEquals(row, { rolsuper: false });
  });

  Deno.test("postgres-stream: what was altered by hand is refused in words, what is missing is created", async () => {
    await using database = await TestDatabase.create(server);
    const altered = [
      ["alter table broadcaster.log alter column id type numeric", "log.id"],
      ["alter table broadcaster.log disable trigger mark", "trigger mark"],
      ["alter sequence broadcaster.ids increment by -1", "sequence ids"],
      [
        "alter function broadcaster.publish(text, text, jsonb) security invoker",
        "function publish(text,text,jsonb)",
      ],
      ["alter function broadcaster.number() reset search_path", "function number()"],
      ["alter table broadcaster.keys alter column id drop not null", "keys.id"],
    ] as const;
    const missing = [
      ["drop trigger number on broadcaster.outbox"],
      ["drop function broadcaster.tidy"],
      ["drop table broadcaster.keys, broadcaster.trimmed"],
      ["delete from broadcaster.locks where n > 5"],
      ["truncate broadcaster.meta"],
      ["select setval('broadcaster.ids', 1)"],
    ] as const;
    await using first = new Broadcast(database.log);
    for (let n = 0; n < 3; n++) await first.publish("chatroom", "before");
    for (const [harm] of missing) {
      await database.sql.unsafe(harm);
      await using broadcast = new Broadcast(database.log);
      await broadcast.publish("chatroom", harm);
      assertEquals((await broadcast.history("chatroom", { limit: 1 }))[0]!.message, harm);
    }
    await first.disconnect();
    for (const [harm, part] of altered) {
      await database.sql.unsafe("drop schema broadcaster cascade");
      await database.sql.unsafe(migration());
      await database.sql.unsafe(harm);
      assertEquals(
        (await refusal(database.log)).replace(/^.*?: /, ""),
        `the log in schema "broadcaster" was altered (${part}): undo that, or name another schema with ?schema=`,
      );
    }
    await database.sql.unsafe("drop schema broadcaster cascade");
    await database.sql.unsafe(migration());
    await database.sql.unsafe("alter table broadcaster.log drop constraint log_row");
    assertMatch(await refusal(database.log), /lacks parts \(constraint log_row\)$/);
    await database.sql.unsafe("update broadcaster.meta set version = 2");
    assertMatch(
      await refusal(database.log),
      /has version 2, this library knows version 1: update the library$/,
    );
    await database.sql.unsafe("drop schema broadcaster cascade; create schema broadcaster");
    await database.sql.unsafe("create view broadcaster.log as select 1");
    assertMatch(await refusal(database.log), /log in schema "broadcaster" is not part of a log/);
  });

  Deno.test("postgres-stream: a copy by pg_dump is another log, which works", async () => {
    await using original = await TestDatabase.create(server);
    await using copy = await TestDatabase.create(server);
    await using before = new Broadcast(original.log);
    const channel = uniqueChannel();
    const id = await before.publish(channel, "one");
    await before.publish(channel, "two");
    const folder = await Deno.makeTempDir();
    const file = join(folder, "dump.sql");
    await run(await command("pg_dump"), ["-d", original.url, "-f", file]);
    await run(await command("psql"), ["-q", "-v", "ON_ERROR_STOP=1", "-d", copy.url, "-f", file]);
    await Deno.remove(folder, { recursive: true });
    await using after = new Broadcast(copy.log);
    const resumed = await after.subscribe(channel, { after: id! });
    await after.publish(channel, "three");
    const events = await take(resumed, 3);
    assertEquals(events.map(({ message }) => message), ["one", "two", "three"]);
    assertEquals(events[0]!.gap, { cause: "reset", after: id! });
  });
}

/** Why a log is refused. */
async function refusal(url: string): Promise<string> {
  await using broadcast = new Broadcast(url);
  return (await assertRejects(() => broadcast.connect(), RefusedError)).message;
}

withBroker("postgres", objects);
