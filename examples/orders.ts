// deno run -A examples/orders.ts postgres-stream://postgres@localhost/postgres

import { Broadcast } from "@broadcaster/broadcaster";
import { eventStreamResponse, lastEventId } from "@broadcaster/broadcaster/sse";
import postgres from "postgres";
import { read, run } from "./server.ts";

/** Events of the channel `shop`, as JSON. */
type ShopEvent =
  | { kind: "order"; number: number; product: string; pieces: number; at: number }
  | { kind: "restock"; stock: number; at: number };

/** Pieces of each product after restocking. */
const FULL = 6;
/** Events that a page starts with. */
const PAST = 20;
/** Events that a page gets at most when it comes back. */
const MOST_MISSED = 1_000;

/** A shop that cannot sell what it does not have: the table says so. */
const TABLES = `
  create schema if not exists orders_example;
  create table if not exists orders_example.products (
    name text primary key,
    price integer not null,
    stock integer not null constraint in_stock check (stock >= 0)
  );
  create table if not exists orders_example.orders (
    number integer generated always as identity primary key,
    product text not null references orders_example.products,
    pieces integer not null constraint some_pieces check (pieces > 0)
  );
  insert into orders_example.products
    values ('Teapot', 48, ${FULL}), ('Two cups', 26, ${FULL}), ('Tin of tea', 14, ${FULL})
    on conflict do nothing`;

/** Publishes within a transaction: only if it commits is the event sent. */
async function publish(sql: postgres.TransactionSql, event: ShopEvent): Promise<void> {
  await sql`select broadcaster.publish('shop', ${JSON.stringify(event)}::text)`;
}

await run("Orders", async (url, shown) => {
  if (!/^postgres(ql)?(-stream)?:/.test(url)) {
    throw new Error(
      `Cannot take orders over ${shown}: an order and its event are one transaction of Postgres, ` +
        "give its URL: deno run -A examples/orders.ts postgres-stream://user:password@localhost/db",
    );
  }
  const [, address] = url.split(/:(.*)/s);
  const broadcast = new Broadcast(`postgres-stream:${address}`);
  await broadcast.connect();
  const sql = postgres(`postgres:${address}`, { onnotice: () => {} });
  // Two servers may start at the same time.
  await sql.begin((sql) => [
    sql`select pg_advisory_xact_lock(hashtext('orders_example'))`,
    sql.unsafe(TABLES),
  ]);

  /** Places an order: its row, its event and the new stock are all there, or none of them. */
  async function place(product: string, pieces: number): Promise<Response> {
    let number = 0;
    try {
      await sql.begin(async (sql) => {
        const [order] = await sql<[{ number: number }]>`
          insert into orders_example.orders (product, pieces) values (${product}, ${pieces})
          returning number`;
        number = order.number;
        await publish(sql, { kind: "order", number, product, pieces, at: Date.now() });
        // The event is written, and if the stock is too small, all of it is undone.
        await sql`
          update orders_example.products set stock = stock - ${pieces} where name = ${product}`;
      });
      return Response.json({ number }, { status: 201 });
    } catch (error) {
      // Classes 22 and 23 of Postgres are values that it refuses. All else may have another outcome.
      if (!(error instanceof postgres.PostgresError) || !/^2[23]/.test(error.code)) throw error;
      return Response.json({ number, reason: error.message }, { status: 409 });
    }
  }

  async function restock(): Promise<Response> {
    await sql.begin(async (sql) => {
      await sql`update orders_example.products set stock = ${FULL}`;
      await publish(sql, { kind: "restock", stock: FULL, at: Date.now() });
    });
    return new Response(null, { status: 204 });
  }

  return {
    page: "orders.html",
    async stop() {
      await broadcast.disconnect();
      await sql.end();
    },
    async answer(request, path) {
      switch (`${request.method} ${path}`) {
        case "GET /events": {
          const options = { after: lastEventId(request), history: PAST, maxResume: MOST_MISSED };
          return await eventStreamResponse((signal) =>
            broadcast.subscribe("shop", { ...options, signal })
          );
        }
        case "GET /products":
          return Response.json(
            await sql`select * from orders_example.products order by price desc`,
          );
        case "POST /orders": {
          const form = new URLSearchParams(await read(request, 200));
          return await place(form.get("product") ?? "", Number(form.get("pieces")));
        }
        case "POST /restock":
          return await restock();
        default:
          return new Response("Not found", { status: 404 });
      }
    },
  };
});
