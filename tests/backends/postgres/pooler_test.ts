/** Postgres through PgBouncer: what a pooler takes away is told, and the log goes on without it. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { deadline } from "@std/async";
import postgres, { type Sql } from "postgres";
import { postgresStream } from "../../../backends/postgres/log.ts";
import { postgres as postgresSource } from "../../../backends/postgres/pubsub.ts";
import { Broadcast, ConnectionError, RefusedError } from "../../../mod.ts";
import { messages, numbered, uniqueChannel } from "../../conformance/harness.ts";
import { withBroker } from "../../services/broker.ts";
import * as pgbouncer from "../../services/pgbouncer.ts";
import { start } from "../../services/postgres.ts";
import type { Server } from "../../services/server.ts";

/** A server behind a pooler, and clients of it. */
class Pooled implements AsyncDisposable {
  /** The pooler's address. */
  readonly url: string;
  /** The server behind it. */
  readonly server: Server;
  readonly #servers: readonly Server[];
  readonly #clients: Sql[] = [];

  private constructor(server: Server, pooler: Server) {
    this.url = pooler.url;
    this.server = server;
    this.#servers = [pooler, server];
  }

  static async start(mode: pgbouncer.PgBouncerOptions["mode"], wait?: number): Promise<Pooled> {
    const server = await start();
    return new Pooled(server, await pgbouncer.start({ server: server.port, mode, wait }));
  }

  /** A client as an application has it, which prepares its statements. */
  client(): Sql {
    const client = postgres(this.url, { max: 3, onnotice: () => {} });
    this.#clients.push(client);
    return client;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.end({ timeout: 1 })));
    for (const server of this.#servers) await server[Symbol.asyncDispose]();
  }
}

/** The ways to the same server. */
const WAYS = ["a URL", "a client"] as const;

function pubsub({ url, client }: { url: string; client: Sql }, way: typeof WAYS[number]) {
  return new Broadcast(way === "a URL" ? url : postgresSource({ sql: client }));
}

function log({ url, client }: { url: string; client: Sql }, way: typeof WAYS[number]) {
  return new Broadcast(
    way === "a URL"
      ? url.replace("postgres:", "postgres-stream:")
      : postgresStream({ sql: client }),
  );
}

withBroker("pgbouncer", () => {
  for (const scheme of ["postgres", "postgres-stream"]) {
    Deno.test(`${scheme}: a pooler that lets clients in while its server is away is silent, and connect() has its limit`, async () => {
      await using pooled = await Pooled.start("transaction");
      const url = pooled.url.replace("postgres:", `${scheme}:`);
      await using before = new Broadcast(url);
      await before.connect();
      await before.disconnect();
      await pooled.server.stop("SIGKILL");
      await using broadcast = new Broadcast(`${url}?connect_timeout=2`);
      const connecting = deadline(broadcast.connect(), 30_000);
      await assertRejects(() => connecting, ConnectionError, "did not answer within 2 s");
    });

    Deno.test(`${scheme}: the reason why a pooler ends a connection is in the error`, async () => {
      await using pooled = await Pooled.start("transaction", 1);
      const url = pooled.url.replace("postgres:", `${scheme}:`);
      await using before = new Broadcast(url);
      await before.connect();
      await before.disconnect();
      await pooled.server.stop("SIGKILL");
      await using broadcast = new Broadcast(url, { timeout: 5_000 });
      await assertRejects(
        () => broadcast.connect(),
        ConnectionError,
        ": query_wait_timeout",
      );
    });
  }

  for (const mode of ["transaction", "statement"] as const) {
    Deno.test(`postgres: a pooler in ${mode} mode hears nothing, so subscribe() says so`, async () => {
      await using pooled = await Pooled.start(mode);
      await Promise.all(WAYS.map(async (way) => {
        await using broadcast = pubsub({ url: pooled.url, client: pooled.client() }, way);
        const channel = uniqueChannel();
        await broadcast.publish(channel, "nobody listens yet");
        const error = await assertRejects(() => broadcast.subscribe(channel), RefusedError);
        assertEquals(
          error.message,
          `Cannot subscribe to "${channel}": NOTIFY did not come back: is this a transaction pooler? Use a session connection, or postgres-stream://`,
        );
        await broadcast.publish(channel, "still published");
      }));
    });

    Deno.test(`postgres-stream: nothing is lost through a pooler in ${mode} mode, and it says that it polls`, async () => {
      await using pooled = await Pooled.start(mode);
      for (const way of WAYS) {
        await using one = log({ url: pooled.url, client: pooled.client() }, way);
        await using other = log({ url: pooled.url, client: pooled.client() }, way);
        const told: string[] = [];
        for (const broadcast of [one, other]) {
          broadcast.addEventListener("statechange", ({ state, error }) => {
            told.push(error ? `${state}: ${(error as Error).message}` : state);
          });
        }
        const channel = uniqueChannel();
        const subscriptions = await Promise.all(
          [one, other].map((each) => each.subscribe(channel)),
        );
        const sent = numbered(40);
        for (const [index, message] of sent.entries()) {
          await [one, other][index % 2]!.publish(channel, message);
        }
        for (const subscription of subscriptions) {
          assertEquals(await messages(subscription, 40), sent);
        }
        const [reason = "", ...rest] = told.filter((line) => line.includes("NOTIFY"));
        assert(reason.startsWith("connected: NOTIFY did not come back, probably"), reason);
        assertEquals(rest, [reason]);
        assertEquals(told.filter((line) => line === "reconnecting"), []);
      }
      // What was set for one session would be set for whoever gets it next.
      const client = pooled.client();
      for (let turn = 0; turn < 6; turn++) {
        const [row] = await client`select current_setting('plan_cache_mode') as mode`;
        assertEquals(row?.mode, "auto");
      }
    });
  }

  Deno.test("postgres-stream: all that is asked for in one turn is answered through a pooler", async () => {
    await using pooled = await Pooled.start("transaction");
    const url = pooled.url.replace("postgres:", "postgres-stream:");
    await using publisher = new Broadcast(url);
    await publisher.publish("one", "1");
    async function ask(): Promise<void> {
      await using broadcast = new Broadcast(url);
      await broadcast.connect();
      // The session that listens also reads.
      const [subscription, ...pages] = await Promise.all([
        broadcast.subscribe("one"),
        broadcast.history("one"),
        broadcast.history("two"),
      ]);
      assertEquals(pages.map(({ length }) => length), [1, 0]);
      subscription.close();
    }
    // A statement without an answer would be found by a probe, after 15 seconds.
    await deadline(Promise.all(Array.from({ length: 20 }, ask)), 12_000);
  });

  Deno.test("postgres: a pooler in session mode is as good as none", async () => {
    await using pooled = await Pooled.start("session");
    for (const open of [pubsub, log]) {
      await using broadcast = open(
        { url: `${pooled.url}?pgbouncer=true`, client: pooled.client() },
        "a URL",
      );
      const errors: unknown[] = [];
      broadcast.addEventListener("statechange", ({ error }) => error && errors.push(error));
      const channel = uniqueChannel();
      const subscription = await broadcast.subscribe(channel);
      await Promise.all(numbered(20).map((message) => broadcast.publish(channel, message)));
      assertEquals(await messages(subscription, 20), numbered(20));
      assertEquals(errors, []);
    }
  });
});
