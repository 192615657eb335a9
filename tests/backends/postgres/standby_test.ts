/** Servers that take no writes for a while: standbys, and those that were told to be read-only. */

import { assert, assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import postgres, { type Sql } from "postgres";
import { postgresStream } from "../../../backends/postgres/log.ts";
import { postgres as postgresSource } from "../../../backends/postgres/pubsub.ts";
import { Broadcast, ConnectionError } from "../../../mod.ts";
import { take, uniqueChannel } from "../../conformance/harness.ts";
import { withBroker } from "../../services/broker.ts";
import { start, startStandby } from "../../services/postgres.ts";
import { Proxy } from "../../services/proxy.ts";
import type { Server } from "../../services/server.ts";

const SCHEMES = ["postgres", "postgres-stream"] as const;
const WAYS = ["a URL", "a client"] as const;

/** How long a case may take, in milliseconds. */
const PATIENCE = 60_000;

/** A client that listens again on a standby fails without a word: only a probe finds that. */
const OPTIONS = { timeout: PATIENCE, probe: 1_000 };

/** A broadcast behind a proxy that watches for a refused write. */
class Way implements AsyncDisposable {
  readonly name: string;
  readonly hasLog: boolean;
  readonly broadcast: Broadcast;
  readonly proxy: Proxy;
  /** Resolves once the server has said that it is read-only. */
  readonly refused: Promise<void>;
  readonly #client: Sql | undefined;

  private constructor(scheme: typeof SCHEMES[number], way: typeof WAYS[number], proxy: Proxy) {
    this.name = `${scheme} with ${way}`;
    this.hasLog = scheme === "postgres-stream";
    this.proxy = proxy;
    const url = `postgres://postgres@127.0.0.1:${proxy.port}/postgres`;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.refused = promise;
    proxy.rewrite = (chunk) => {
      if (new TextDecoder("latin1").decode(chunk).includes("C25006\0")) resolve();
      return chunk;
    };
    if (way === "a client") {
      const sql = this.#client = postgres(url, { max: 3, onnotice: () => {} });
      const source = this.hasLog ? postgresStream({ sql }) : postgresSource({ sql });
      this.broadcast = new Broadcast(source, OPTIONS);
    } else {
      this.broadcast = new Broadcast(url.replace("postgres", scheme), OPTIONS);
    }
  }

  /** Opens all of them, to one server. */
  static async all(port: number): Promise<Way[]> {
    const all = SCHEMES.flatMap((scheme) => WAYS.map((way) => [scheme, way] as const));
    return await Promise.all(
      all.map(async ([scheme, way]) => new Way(scheme, way, await Proxy.start(port))),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.broadcast.disconnect();
    await this.#client?.end({ timeout: 1 });
    await this.proxy[Symbol.asyncDispose]();
  }
}

/** A primary with a log, and a standby that follows it. */
class Pair implements AsyncDisposable {
  readonly primary: Server;
  readonly standby: Server;

  private constructor(primary: Server, standby: Server) {
    this.primary = primary;
    this.standby = standby;
  }

  static async start(): Promise<Pair> {
    const primary = await start();
    await using broadcast = new Broadcast(primary.url.replace("postgres", "postgres-stream"));
    await broadcast.connect();
    return new Pair(primary, await startStandby(primary, primary.port));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.standby[Symbol.asyncDispose]();
    await this.primary[Symbol.asyncDispose]();
  }
}

/** Runs a statement on a server. */
async function ask(server: Server, statement: string): Promise<void> {
  const sql = postgres(server.url, { max: 1, onnotice: () => {} });
  await sql.unsafe(statement);
  await sql.end();
}

/** Runs a case on each way at once, and names the one that fails. */
async function each(ways: readonly Way[], run: (way: Way) => Promise<void>): Promise<void> {
  await Promise.all(ways.map(async (way) => {
    try {
      await deadline(run(way), PATIENCE);
    } catch (cause) {
      throw new Error(`${way.name}: ${(cause as Error).message}`, { cause });
    }
  }));
}

withBroker("postgres", () => {
  Deno.test("postgres: on a standby, publishing and a first subscribe wait until it is promoted", async () => {
    await using pair = await Pair.start();
    await using stack = new AsyncDisposableStack();
    const ways = (await Way.all(pair.standby.port)).map((way) => stack.use(way));
    const channel = uniqueChannel();
    const published = ways.map(({ broadcast }) => broadcast.publish(channel, "first"));
    const subscribed = ways.map(({ broadcast }) => broadcast.subscribe(channel));
    await each(ways, ({ refused }) => refused);
    await ask(pair.standby, "select pg_promote()");
    await each(ways, async (way) => {
      await published[ways.indexOf(way)];
      const subscription = await subscribed[ways.indexOf(way)]!;
      await way.broadcast.publish(`${channel} ${way.name}`, "unheard");
      const own = await way.broadcast.subscribe(`${channel} ${way.name}`);
      await way.broadcast.publish(`${channel} ${way.name}`, "heard");
      assertEquals((await take(own, 1)).map(({ message }) => message), ["heard"]);
      subscription.close();
    });
  });

  Deno.test("postgres: an open subscription goes on once a standby that took over is promoted", async () => {
    await using pair = await Pair.start();
    await using stack = new AsyncDisposableStack();
    const ways = (await Way.all(pair.primary.port)).map((way) => stack.use(way));
    const channels = ways.map(() => uniqueChannel());
    const subscriptions = await Promise.all(
      ways.map(({ broadcast }, index) => broadcast.subscribe(channels[index]!)),
    );
    await Promise.all(
      ways.map(({ broadcast }, index) => broadcast.publish(channels[index]!, "before")),
    );
    await Promise.all(subscriptions.map((subscription) => take(subscription, 1)));
    const published = ways.map((way, index) => {
      way.proxy.redirect(pair.standby.port);
      way.proxy.cut();
      return way.broadcast.publish(channels[index]!, "meanwhile").catch(() => {});
    });
    await each(ways, ({ refused }) => refused);
    await ask(pair.standby, "select pg_promote()");
    await each(ways, async (way) => {
      const index = ways.indexOf(way);
      await published[index];
      // Without a log, what is published before the tail is open again is lost, and a gap says so.
      let last: string | undefined;
      let gap: unknown;
      void (async () => {
        for (let turn = 0; last !== "after"; turn++) {
          await way.broadcast.publish(channels[index]!, "after");
        }
      })().catch(() => {});
      for await (const event of subscriptions[index]!) {
        gap ??= event.gap;
        last = event.message;
        if (last === "after") break;
      }
      if (way.hasLog) assertEquals(gap, undefined);
      else assert(gap, "a gap is told");
    });
  });

  Deno.test("postgres: a read-only server is left once its address leads to another one", async () => {
    await using pair = await Pair.start();
    await using stack = new AsyncDisposableStack();
    const ways = (await Way.all(pair.standby.port)).map((way) => stack.use(way));
    const channel = uniqueChannel();
    const published = ways.map(({ broadcast }) => broadcast.publish(channel, "first"));
    await each(ways, ({ refused }) => refused);
    for (const { proxy, name } of ways) {
      proxy.redirect(pair.primary.port);
      // A client of the user is not cut by us.
      if (name.endsWith("client")) proxy.cut();
    }
    await each(ways, async ({ broadcast, name }) => {
      // Its statement may have been under way when it was cut.
      await published[ways.findIndex((way) => way.name === name)]!.catch((error) => {
        if (!name.endsWith("client")) throw error;
      });
      const own = `${channel} ${name}`;
      const subscription = await broadcast.subscribe(own);
      await broadcast.publish(own, "second");
      assertEquals((await take(subscription, 1)).map(({ message }) => message), ["second"]);
    });
  });

  Deno.test("postgres-stream: a database that is read-only for a while delays messages, in order", async () => {
    await using server = await start();
    await using stack = new AsyncDisposableStack();
    const ways = (await Way.all(server.port)).map((way) => stack.use(way));
    const logs = ways.filter(({ hasLog }) => hasLog);
    await each(logs, ({ broadcast }) => broadcast.connect());
    await ask(server, "alter system set default_transaction_read_only = on");
    await ask(server, "select pg_reload_conf()");
    await using impatient = new Broadcast(
      server.url.replace("postgres", "postgres-stream") + "?timeout=3s",
    );
    const error = await impatient.publish("a", "b").catch((error) => error);
    assert(error instanceof ConnectionError, String(error));
    const channels = logs.map(() => uniqueChannel());
    const published = logs.map(({ broadcast }, index) =>
      Promise.all(["1", "2", "3"].map((message) => broadcast.publish(channels[index]!, message)))
    );
    await each(logs, ({ refused }) => refused);
    await ask(server, "alter system reset default_transaction_read_only");
    await ask(server, "select pg_reload_conf()");
    await each(logs, async ({ broadcast }) => {
      const index = logs.findIndex((way) => way.broadcast === broadcast);
      await published[index];
      const events = await broadcast.history(channels[index]!);
      assertEquals(events.map(({ message }) => message), ["1", "2", "3"]);
    });
  });
});
