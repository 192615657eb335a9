/** Postgres through Pgpool-II, which loses the answer to a statement if a notification arrives first. */

import { assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import { Broadcast } from "../../../mod.ts";
import { numbered } from "../../conformance/harness.ts";
import { withBroker } from "../../services/broker.ts";
import * as pgpool from "../../services/pgpool.ts";
import { start } from "../../services/postgres.ts";

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
});
