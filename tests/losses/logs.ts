/** The logs, and how each of them loses what it has accepted. */

import { join } from "node:path";
import { Redis } from "ioredis";
import postgres from "postgres";
import { closed } from "../backends/redis/log/stream.ts";
import { startWithStreams as startRabbit } from "../services/amqp.ts";
import { run } from "../services/debian.ts";
import { start as startNats } from "../services/nats.ts";
import { start as startPostgres, startStandby } from "../services/postgres.ts";
import { Proxy } from "../services/proxy.ts";
import { start as startRedis } from "../services/redis.ts";
import type { Server } from "../services/server.ts";
import { until } from "../services/service.ts";
import { type Forgetful, forgets } from "./forgetting.ts";

/** A crash behind the last snapshot, and a replica that lags and takes over. */
export function ofRedis(): void {
  const url = (port: number) => `redis-stream://127.0.0.1:${port}`;

  for (const elsewhere of [false, true]) {
    Deno.test(`redis-stream: what a crash loses behind a snapshot is told only to who had seen it${suffix(elsewhere)}`, async () => {
      await using server = await startRedis();
      const admin = new Redis(server.url);
      await forgets({
        url,
        server,
        elsewhere,
        store: () => admin.save(),
        lose: async () => {
          await closed(admin);
          await server.stop("SIGKILL");
          await server.restart();
          return server;
        },
      });
    });
  }

  Deno.test("redis-stream: what a replica that takes over did not have is told only to who had seen it", async () => {
    await using master = await startRedis({ args: ["--repl-diskless-sync-delay", "0"] });
    await using between = await Proxy.start(master.port);
    await using replica = await startRedis({
      args: ["--replicaof", "127.0.0.1", `${between.port}`],
    });
    const [at, to] = [new Redis(master.url), new Redis(replica.url)];
    const has = async (client: Redis) => (await client.info("replication"));
    const offset = async (client: Redis) =>
      /(?:master|slave)_repl_offset:(\d+)/
        .exec(await has(client))![1];
    await until(async () => /master_link_status:up/.test(await has(to)), "It does not replicate");
    await forgets({
      url,
      server: master,
      store: async () => {
        await until(async () => await offset(at) === await offset(to), "It lags");
        between.refuse();
        between.cut();
      },
      lose: async () => {
        await closed(at);
        await master.stop("SIGKILL");
        await to.replicaof("NO", "ONE");
        await closed(to);
        return replica;
      },
    });
  });
}

/** A commit that nobody has waited for, and a standby that lags and takes over. */
export function ofPostgres(): void {
  const url = (port: number) => `postgres-stream://postgres@127.0.0.1:${port}/postgres`;

  Deno.test("postgres-stream: what a crash loses of unsynchronous commits is told only to who had seen it", async () => {
    await using server = await startPostgres({
      settings: { synchronous_commit: "off", wal_writer_delay: "10s" },
    });
    const admin = postgres(server.url);
    await forgets({
      url,
      server,
      store: () => admin`checkpoint`,
      lose: async () => {
        await admin.end();
        await server.stop("SIGKILL");
        await server.restart();
        return server;
      },
    });
  });

  Deno.test("postgres-stream: what a standby that takes over did not have is told only to who had seen it", async () => {
    await using primary = await startPostgres();
    await using between = await Proxy.start(primary.port);
    await using standby = await startStandby(primary, between.port);
    const [at, to] = [postgres(primary.url), postgres(standby.url)];
    await forgets({
      url,
      server: primary,
      store: async () => {
        await until(async () => {
          const [row] = await at`
            select pg_current_wal_lsn() = replay_lsn as same from pg_stat_replication`;
          return row?.same;
        }, "It lags");
        between.refuse();
        between.cut();
      },
      lose: async () => {
        await at.end();
        await primary.stop("SIGKILL");
        await to`select pg_promote()`;
        await to.end();
        return standby;
      },
    });
  });
}

/** A machine that crashes: the disk is as it was when it was last synced. */
export function ofNats(): void {
  for (const elsewhere of [false, true]) {
    Deno.test(`nats-stream: what a crash loses that was not synced is told only to who had seen it${suffix(elsewhere)}`, async () => {
      await using server = await startNats();
      await forgets({
        url: (port) => `nats-stream://127.0.0.1:${port}`,
        server,
        elsewhere,
        ...setBack(server, "store"),
      });
    });
  }
}

/** As with NATS: the server syncs what it has of a stream when it likes. */
export function ofRabbit(): void {
  Deno.test("amqp-stream: what a crash loses that was not synced is told only to who had seen it", async () => {
    await using server = await startRabbit();
    await forgets({
      url: (port) => `amqp-stream://127.0.0.1:${port}`,
      server,
      ...setBack(server, "data"),
    });
  });
}

/** A process that is killed leaves all it has written to the system: only the disk can lose it. */
function setBack(server: Server, folder: string): Pick<Forgetful, "store" | "lose"> {
  const [disk, synced] = [folder, "synced"].map((name) => join(server.directory, name));
  return {
    store: () => run("cp", ["-a", disk!, synced!]),
    lose: async () => {
      await server.stop("SIGKILL");
      await Deno.remove(disk!, { recursive: true });
      await Deno.rename(synced!, disk!);
      await server.restart();
      return server;
    },
  };
}

function suffix(elsewhere: boolean): string {
  return elsewhere ? ", whichever channel goes on" : "";
}
