/** The table of rights: each cell with a role of the server. */

import { assertEquals } from "@std/assert";
import type { Sql } from "postgres";
import { Broadcast } from "../../../../mod.ts";
import { messages } from "../../../conformance/harness.ts";
import { withBroker } from "../../../services/broker.ts";
import { until } from "../../../services/service.ts";
import { TestDatabase } from "./database.ts";

/** The roles of the table, and the one with all the rights that are granted. */
const ROLES = ["owner", "publisher", "sql_publisher", "subscriber", "keeper", "both"] as const;
type Role = typeof ROLES[number];

/** What the owner can do, and nobody else. */
const FORGERIES = [
  "insert into broadcaster.log values ('c', 1, '', null, now())",
  "insert into broadcaster.outbox values ('c', '')",
  "update broadcaster.log set id = 1",
  "delete from broadcaster.log",
  "delete from broadcaster.trimmed",
  "truncate broadcaster.log",
  "update broadcaster.meta set epoch = '12345678'",
  "select nextval('broadcaster.ids')",
  "select setval('broadcaster.ids', 1000)",
  "select from broadcaster.locks for update",
  "lock table broadcaster.log in share mode",
  "delete from broadcaster.keys",
  "select broadcaster.tidy()",
  "create table broadcaster.mine ()",
  "create trigger mine after insert on broadcaster.log execute function broadcaster.renew()",
  // The functions of triggers run with the rights of the owner.
  ...["note", "number", "renew", "mark"].map((name) =>
    `create temp table mine (channel text, payload bytea, headers jsonb);
     create trigger mine before insert on mine for each row execute function broadcaster.${name}()`
  ),
];

/** Cases on rights. */
function rights(server: string): void {
  Deno.test("postgres-stream: each role can do what the table of rights says, and nothing else", async (test) => {
    await using database = await TestDatabase.create(server);
    const names = {} as Record<Role, string>;
    names.owner = await database.ownedBy("owner");
    for (const role of ROLES.slice(1)) names[role] = await database.role(role);
    const { table, grants } = await documented();
    await using owner = new Broadcast(database.logAs(names.owner));
    await owner.publish("chatroom", "first");
    const both = "publisher, sql_publisher, subscriber, keeper";
    await database.as(names.owner).unsafe(withRoles(grants, names));
    await database.sql.unsafe(`grant ${withRoles(both, names)} to ${names.both}`);
    const cells: (readonly [string, (role: string) => Promise<unknown>])[] = [
      ["connects", (role) => using(database.logAs(role), (one) => one.connect())],
      [
        "publishes by the library, removes what is too old",
        (role) => using(database.logAs(role), (one) => one.publish("chatroom", "of the library")),
      ],
      [
        "publishes by SQL",
        (role) => database.as(role)`select broadcaster.publish('chatroom', 'of sql')`.execute(),
      ],
      [
        "subscribes, reads the past",
        (role) =>
          using(database.logAs(role), async (one) => {
            const subscription = await one.subscribe("chatroom");
            await owner.publish("chatroom", "news");
            assertEquals(await messages(subscription, 1), ["news"]);
            assertEquals((await one.history("chatroom", { limit: 1 })).length, 1);
          }),
      ],
      [
        "changes the retention",
        async (role) => {
          const days = 2 + Math.floor(Math.random() * 1_000_000);
          const connect = (one: Broadcast) => one.connect();
          await using(`${database.logAs(role)}?retention=${days}s`, connect);
          const [row] = await database.sql`select retention from broadcaster.meta`;
          if (Number(row!.retention) !== days * 1_000) throw new Error("permission denied: same");
        },
      ],
      [
        "creates, forges, deletes",
        async (role) => {
          const client = database.as(role);
          const done: string[] = [];
          for (const forgery of FORGERIES) {
            if (await may(() => undone(client, forgery))) done.push(forgery);
          }
          if (role === names.owner) return assertEquals(done, FORGERIES);
          assertEquals(done, []);
          throw new Error("permission denied: all");
        },
      ],
    ];
    assertEquals(table.columns, cells.map(([name]) => name));
    const union = table.columns.map((_, at) =>
      ["publisher", "sql_publisher", "subscriber", "keeper"].some((role) =>
          table.rows.get(role)![at] === "yes"
        )
        ? "yes"
        : "no"
    );
    for (const role of ROLES) {
      await test.step(role, async () => {
        const found: string[] = [];
        for (const [, action] of cells) {
          found.push(await may(() => action(names[role])) ? "yes" : "no");
        }
        assertEquals(found, role === "both" ? union : table.rows.get(role));
      });
    }
  });

  Deno.test("postgres-stream: a role that may only publish has old events removed all the same", async () => {
    await using database = await TestDatabase.create(server);
    const owner = await database.ownedBy("owner");
    const publisher = await database.role("publisher");
    await using creator = new Broadcast(`${database.logAs(owner)}?retention=300ms`);
    await creator.connect();
    await creator.disconnect();
    await database.as(owner).unsafe(`grant usage on schema broadcaster to ${publisher};
      grant execute on function broadcaster.store to ${publisher}`);
    // Its own retention has no effect: it could remove what others want to keep.
    await using broadcast = new Broadcast(`${database.logAs(publisher)}?retention=250ms`);
    await broadcast.publish("chatroom", "old");
    await broadcast.publish("chatroom", "new");
    await until(async () => {
      const rows = await database.sql`select from broadcaster.log`;
      return rows.length === 1;
    }, "Cannot see that the old event is removed");
    const [row] = await database.sql`select retention::int from broadcaster.meta`;
    assertEquals(row, { retention: 300 });
  });
}

/** Runs with a broadcast of its own. */
async function using(
  url: string,
  run: (broadcast: Broadcast) => Promise<unknown>,
): Promise<void> {
  await using broadcast = new Broadcast(url);
  await run(broadcast);
}

/** Whether something is permitted. Fails if anything else is wrong. */
async function may(run: () => Promise<unknown>): Promise<boolean> {
  try {
    await run();
    return true;
  } catch (error) {
    if (/permission denied|must be owner/.test((error as Error).message)) return false;
    throw error;
  }
}

/** Runs a statement, and takes it back. Errors other than those of rights say that it was allowed. */
async function undone(client: Sql, statement: string): Promise<void> {
  try {
    await client.begin(async (sql) => {
      await sql.unsafe(statement);
      throw new Error("back");
    });
  } catch (error) {
    if (/permission denied|must be owner/.test((error as Error).message)) throw error;
  }
}

interface Documented {
  readonly table: {
    readonly columns: readonly string[];
    readonly rows: ReadonlyMap<string, readonly string[]>;
  };
  readonly grants: string;
}

/** The table of rights and the grants, as the documentation of the module has them. */
async function documented(): Promise<Documented> {
  const file = new URL("../../../../backends/postgres/log.ts", import.meta.url);
  const text = (await Deno.readTextFile(file)).replace(/^ \* ?/gm, "");
  const grants = /```sql\n(grant [^`]*)```/.exec(text)![1]!;
  const [head, , ...rows] = [...text.matchAll(/^\| (.*) \|$/gm)]
    .map(([, row]) => row!.split("|").map((cell) => cell.trim()));
  return {
    table: {
      columns: head!.slice(1),
      rows: new Map(rows.map(([role, ...cells]) => [role!.replace(/ .*/, ""), cells])),
    },
    grants,
  };
}

/** Replaces the names of roles by those of a test. */
function withRoles(text: string, names: Record<Role, string>): string {
  return text.replace(
    /\b(publisher|sql_publisher|subscriber|keeper)\b/g,
    (role) => names[role as Role],
  );
}

withBroker("postgres", rights);
