import { Broadcast } from "@broadcaster/broadcaster";
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import type { Locator, Page } from "npm:playwright-core@1.64.1";
import { TestDatabase } from "../backends/postgres/log/database.ts";
import { Proxy } from "../services/proxy.ts";
import { Example, look, overflow, run, test, Visitors } from "./example.ts";

const ORDERS = "examples/orders.ts";

test("Orders: one that commits is on every page, and one that rolls back is on none", async () => {
  await using database = await TestDatabase.create(Deno.env.get("POSTGRES_URL")!);
  await using shop = await Example.start(ORDERS, database.log);
  await using visitors = await Visitors.start();
  const ada = await open(visitors, shop.url);
  const bo = await open(visitors, shop.url, 375, 720);
  await look(bo, "orders-small-empty");
  await order(ada, "Teapot");
  for (const page of [ada, bo]) {
    await item(page, "No. 1").waitFor();
    await stock(page, "Teapot", 5).waitFor();
  }
  await look(ada, "orders-committed");
  await ada.getByRole("button", { name: "Order 6, too many: Teapot" }).click();
  const transaction = ada.getByRole("region", { name: "Your last transaction" });
  await transaction.getByText('violates check constraint "in_stock"').waitFor();
  await transaction.getByText("There is no order 2, and its event was never sent.").waitFor();
  // Events come in the order of commit: if order 2 had sent one, it would be before that of order 3.
  await order(bo, "Two cups");
  for (const page of [ada, bo]) {
    await item(page, "No. 3").waitFor();
    assertEquals(await numbers(page), ["No. 3", "No. 1"]);
    await stock(page, "Teapot", 5).waitFor();
    assertEquals(await overflow(page), 0);
  }
  assertEquals(await mine(ada), ["No. 1"]);
  assertEquals(await mine(bo), ["No. 3"]);
  const rows = await database.sql`select number from orders_example.orders order by number`;
  assertEquals(rows.map(({ number }) => number), [1, 3]);
  await using broadcast = new Broadcast(database.log);
  assertEquals((await broadcast.history("shop", { limit: 10 })).length, 2);
  await order(bo, "Tin of tea");
  await item(ada, "No. 4").waitFor();
  await settled(ada);
  await look(ada, "orders");
  await ada.emulateMedia({ colorScheme: "dark" });
  await look(ada, "orders-dark");
  await bo.getByRole("button", { name: "Order 6, too many: Tin of tea" }).click();
  await bo.getByText("There is no order 5").waitFor();
  await settled(bo);
  await look(bo, "orders-small");
  await bo.emulateMedia({ colorScheme: "dark" });
  await look(bo, "orders-small-dark");
  await bo.getByRole("button", { name: "Restock" }).click();
  await item(ada, "Restocked: 6 of each").waitFor();
  for (const page of [ada, bo]) await stock(page, "Teapot", 6).waitFor();
}, "postgres");

test("Orders: a page whose link was cut gets the orders of meanwhile, each once", async () => {
  await using database = await TestDatabase.create(Deno.env.get("POSTGRES_URL")!);
  await using shop = await Example.start(ORDERS, database.log);
  await using wire = await Proxy.start(Number(new URL(shop.url).port));
  await using visitors = await Visitors.start();
  const ada = await open(visitors, shop.url);
  const bo = await open(visitors, wire.url(shop.url), 375, 720);
  await order(ada, "Teapot");
  await item(bo, "No. 1").waitFor();
  wire.refuse();
  wire.cut();
  await state(bo, "Reconnecting").waitFor();
  await order(ada, "Teapot");
  await item(ada, "No. 2").waitFor();
  // A page that is away and orders all the same is told that nobody knows.
  await order(bo, "Teapot");
  await bo.getByText("There was no answer").waitFor();
  await look(bo, "orders-small-cut");
  await wire.accept();
  await state(bo, "Live").waitFor();
  await item(bo, "No. 2").waitFor();
  await stock(bo, "Teapot", 4).waitFor();
  // Postgres has the log: a server that starts again goes on with it.
  await shop.stop("SIGKILL");
  for (const page of [ada, bo]) await state(page, "Reconnecting").waitFor();
  await shop.start();
  for (const page of [ada, bo]) await state(page, "Live").waitFor();
  await order(ada, "Two cups");
  const late = await open(visitors, shop.url);
  for (const page of [ada, bo, late]) {
    await item(page, "No. 3").waitFor();
    assertEquals(await numbers(page), ["No. 3", "No. 2", "No. 1"]);
    assertEquals(await page.locator(".gap").count(), 0);
  }
}, "postgres");

test("Orders: two servers share a shop, also with whoever writes SQL", async () => {
  await using database = await TestDatabase.create(Deno.env.get("POSTGRES_URL")!);
  // Both create the tables.
  const [one, other] = await Promise.all([
    Example.start(ORDERS, database.url),
    Example.start(ORDERS, database.log),
  ]);
  await using _one = one;
  await using _other = other;
  await using visitors = await Visitors.start();
  const ada = await open(visitors, one.url);
  const bo = await open(visitors, other.url);
  await order(ada, "Teapot");
  await item(bo, "No. 1").waitFor();
  const tell = (number: number) => {
    const event = { kind: "order", number, product: "<b>Samovar</b>", pieces: 2, at: Date.now() };
    return `select broadcaster.publish('shop', '${JSON.stringify(event)}')`;
  };
  await assertRejects(() => database.sql.begin((sql) => sql.unsafe(`${tell(70)}; select 1 / 0`)));
  await database.sql.begin((sql) => sql.unsafe(tell(71)));
  for (const page of [ada, bo]) {
    await item(page, "2 × <b>Samovar</b>").waitFor();
    assertEquals(await numbers(page), ["No. 71", "No. 1"]);
  }
}, "postgres");

test("Orders: of many who order at once, as many get a piece as there are", async () => {
  await using database = await TestDatabase.create(Deno.env.get("POSTGRES_URL")!);
  await using shop = await Example.start(ORDERS, database.log);
  await using visitors = await Visitors.start();
  const page = await open(visitors, shop.url);
  const ask = async (product: string, pieces: string) => {
    const body = new URLSearchParams({ product, pieces });
    const response = await fetch(new URL("orders", shop.url), { method: "POST", body });
    await response.body?.cancel();
    return response.status;
  };
  const statuses = await Promise.all(Array.from({ length: 10 }, () => ask("Teapot", "1")));
  assertEquals(statuses.toSorted(), [201, 201, 201, 201, 201, 201, 409, 409, 409, 409]);
  for (const pieces of ["0", "-1", "1.5", "many", "99999999999"]) {
    assertEquals(await ask("Two cups", pieces), 409, pieces);
  }
  assertEquals(await ask("Samovar", "1"), 409);
  assertEquals(await ask("Two cups", "1"), 201);
  await item(page, "1 × Two cups").waitFor();
  await page.getByText("sold out").waitFor();
  assertEquals((await numbers(page)).length, 7);
  assertEquals((await shop.stop("SIGTERM")).code, 0);
}, "postgres");

Deno.test("Orders: without Postgres, a line says what to give", async () => {
  for (const url of ["memory://", "redis://user:secret@127.0.0.1:1"]) {
    const { code, stderr } = await run(ORDERS, url);
    assertEquals(code, 1);
    assertMatch(stderr, /^Cannot take orders over \w+:\/\/[\d.:]*: [^\n]* postgres-stream:\S*\n$/);
  }
  const { code, stderr } = await run(ORDERS, "postgres-stream://user:secret@127.0.0.1:1/shop");
  assertEquals(code, 1);
  assertMatch(stderr, /^Cannot connect to postgres-stream:\/\/127\.0\.0\.1:1\/shop: [^\n]*\n$/);
});

async function open(visitors: Visitors, url: string, ...size: number[]): Promise<Page> {
  const page = await visitors.open(url, ...size);
  await state(page, "Live").waitFor();
  await page.getByRole("button", { name: "Order one: Teapot" }).waitFor();
  return page;
}

async function order(page: Page, product: string): Promise<void> {
  await page.getByRole("button", { name: `Order one: ${product}` }).click();
}

function item(page: Page, words: string): Locator {
  return page.getByRole("log").getByRole("listitem").filter({ hasText: words });
}

function stock(page: Page, product: string, pieces: number): Locator {
  return page.getByRole("region", { name: "Shop" }).getByRole("listitem")
    .filter({ hasText: product }).getByText(`${pieces} in stock`);
}

function numbers(page: Page): Promise<string[]> {
  return page.getByRole("log").locator("b").allTextContents();
}

/** The orders that are marked as those of the page. */
function mine(page: Page): Promise<string[]> {
  return page.getByRole("log").getByRole("listitem").filter({ hasText: "yours" }).locator("b")
    .allTextContents();
}

/** Waits until nothing moves any more. */
async function settled(page: Page): Promise<void> {
  await page.evaluate(
    "Promise.allSettled(document.getAnimations().map(({ finished }) => finished))",
  );
}

function state(page: Page, words: string): Locator {
  return page.getByRole("status").getByText(words, { exact: true });
}
