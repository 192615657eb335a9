/** Postgres through Pgpool-II, which mixes notifications with answers, and lets standbys answer. */

import { assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import postgres from "postgres";
import { Broadcast } from "../../../mod.ts";
import { messages, numbered } from "../../conformance/harness.ts";
import { withBroker } from "../../services/broker.ts";
import * as pgpool from "../../services/pgpool.ts";
import { start, startStandby } from "../../services/postgres.ts";

withBroker("pgpool", () => {
  for (const scheme of ["postgres", "postgres-stream"]) {
    Deno.test(`${scheme}: statements are answered through Pgpool-II while events arrive`, async () => {
      await using server = await start();
      await using pooler = await pgpool.start(server.port);
      await using publisher = new Broadcast(server.url.replace("postgres:", `${scheme}:`));
      await using broadcast = new Broadcast(pooler.url.replace("postgres:", `${scheme}:`));
      const told: unknown[] = [];
      broadcast.addEventListener("statechange", ({ state, error }) => {
        if (error) told.push(`${state}: ${error}`);
      });
      const hasLog = scheme === "postgres-stream";
      const subscription = await broadcast.subscribe("busy");
      const opened = async (name: string) => {
        (await broadcast.subscribe(name)).close();
        if (hasLog) await broadcast.history(name);
      };
      const sent = numbered(300);
      const received = Array.fromAsync(subscription, ({ message }) => {
        if (message === sent.at(-1)) subscription.close();
        return message;
      });
      async function publish(): Promise<void> {
        for (const message of sent) await publisher.publish("busy", message);
      }
      async function open(): Promise<void> {
        for (const name of numbered(60)) await Promise.all([opened(name), opened(`other ${name}`)]);
      }
      // A statement without an answer would be found by a probe, after 15 seconds.
      await deadline(Promise.all([publish(), open(), received]), 14_000);
      assertEquals(await received, sent);
      assertEquals(told, []);
      // The log listens on a connection of its own.
      assertEquals(broadcast.stats().connections, hasLog ? 3 : 2);
    });
  }

  Deno.test("postgres-stream: what Pgpool-II sends to standbys does not concern the log", async () => {
    await using server = await start();
    await using standby = await startStandby(server, server.port);
    const client = postgres(standby.url, { max: 1 });
    await client.unsafe("alter system set recovery_min_apply_delay = '1h'");
    await client.unsafe("select pg_reload_conf()");
    await client.end();
    await using pooler = await pgpool.start(server.port, standby.port);
    await using broadcast = new Broadcast(pooler.url.replace("postgres:", "postgres-stream:"));
    const subscription = await broadcast.subscribe("news");
    const sent = numbered(20);
    for (const message of sent) await broadcast.publish("news", message);
    assertEquals((await broadcast.history("news")).map(({ message }) => message), sent);
    assertEquals(await messages(subscription, 20), sent);
    assertEquals(broadcast.stats().connections, 3);
  });
});
