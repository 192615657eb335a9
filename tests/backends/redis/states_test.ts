/**
 * Servers that cannot serve for now, or are not what they were. Each case has a server of its own.
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { deadline } from "@std/async";
import { Redis } from "ioredis";
import { Broadcast, ConnectionError, type Gap, RefusedError } from "../../../mod.ts";
import { messages, numbered, take } from "../../conformance/harness.ts";
import { withBroker } from "../../services/broker.ts";
import { Proxy } from "../../services/proxy.ts";
import { until } from "../../services/service.ts";
import { state } from "../rig.ts";
import { closed } from "./log/stream.ts";
import { OwnServer, SCHEMES, statesOf } from "./own_server.ts";

const PATIENCE = 30_000;

withBroker("redis", () => {
  test("redis-stream: a server without memory is read, and publishing says why it fails", async (own) => {
    await using broadcast = new Broadcast(`${own.url("redis-stream")}?timeout=300ms`);
    const subscription = await broadcast.subscribe("one");
    await broadcast.publish("one", "before");
    await own.call("CONFIG SET maxmemory 1");
    const [event] = await broadcast.history("one");
    assertEquals(event!.message, "before");
    assertEquals(await messages(subscription, 1), ["before"]);
    // What is not in the ring is read from the stream, with its facts.
    await using other = new Broadcast(own.url("redis-stream"));
    const replayed = await other.subscribe("one", { history: 10 });
    assertEquals(await messages(replayed, 1), ["before"]);
    await other.subscribe("empty", { history: 10 });
    const states = statesOf(broadcast);
    for (const idempotencyKey of [undefined, "key"]) {
      const error = await assertRejects(
        () => broadcast.publish("one", "refused", { idempotencyKey }),
        ConnectionError,
        "OOM command not allowed when used memory > 'maxmemory'",
      );
      assert(error.message.startsWith('Cannot publish to "one"'), error.message);
    }
    assertEquals(states, []);
  });

  test("redis-stream: messages wait, in order, until a server has memory", async (own) => {
    await using broadcast = new Broadcast(own.url("redis-stream"));
    const subscription = await broadcast.subscribe("one");
    await own.call("CONFIG SET maxmemory 1");
    const published = numbered(20).map((message) => broadcast.publish("one", message));
    await own.called("xadd", 0);
    await until(
      async () => /errorstat_OOM/.test(String(await own.call("INFO errorstats"))),
      "No OOM",
    );
    published.push(broadcast.publish("one", "last"));
    await own.call("CONFIG SET maxmemory 0");
    await Promise.all(published);
    assertEquals(await messages(subscription, 21), [...numbered(20), "last"]);
  });

  test("redis: a server without memory still passes messages on", async (own) => {
    await own.call("CONFIG SET maxmemory 1");
    await using broadcast = new Broadcast(own.url("redis"));
    const subscription = await broadcast.subscribe("one");
    await broadcast.publish("one", "hello");
    assertEquals(await messages(subscription, 1), ["hello"]);
  });

  test("redis-stream: messages wait for enough replicas", async (own) => {
    await using broadcast = new Broadcast(own.url("redis-stream"));
    const states = statesOf(broadcast);
    await broadcast.connect();
    await own.call("CONFIG SET min-replicas-to-write 1");
    const published = broadcast.publish("one", "hello");
    await until(
      async () => /errorstat_NOREPLICAS/.test(String(await own.call("INFO errorstats"))),
      "No NOREPLICAS",
    );
    await own.call("CONFIG SET min-replicas-to-write 0");
    await published;
    assertEquals(states, ["connecting", "connected"]);
  });

  for (const scheme of SCHEMES) {
    test(`${scheme}: a script that blocks the server ends nothing`, async (own) => {
      await using proxy = await Proxy.start(own.server.port);
      let refusals = 0;
      proxy.rewrite = (chunk) => {
        refusals += new TextDecoder().decode(chunk).split("-BUSY").length - 1;
        return chunk;
      };
      const url = proxy.url(own.url(scheme));
      await using broadcast = new Broadcast(`${url}?probe=1s`);
      const subscription = await broadcast.subscribe("one");
      const states = statesOf(broadcast);
      await own.call("CONFIG SET busy-reply-threshold 1");
      const client = new Redis(own.server.url);
      const script = assertRejects(() => client.eval("while true do end", 0), Error, "killed");
      await until(async () => /BUSY/.test(await own.admin.ping().catch(String)), "Not busy");
      await using stranger = new Broadcast(url);
      const waiting = [
        broadcast.publish("one", "hello"),
        broadcast.subscribe("two"),
        stranger.subscribe("one"),
      ];
      // All are refused meanwhile, and so is the probe.
      await until(() => refusals > 20, "Nothing is refused");
      await own.call("SCRIPT KILL");
      await Promise.all([script, ...waiting]);
      assertEquals(await messages(subscription, 1), ["hello"]);
      assertEquals(states, []);
      await closed(client);
    });

    test(`${scheme}: the first use waits for a server that loads its data`, async (own) => {
      const data = "x".repeat(2_000);
      await own.admin.mset(
        ...Array.from({ length: 100 }, (_, index) => [`key${index}`, data]).flat(),
      );
      await own.call("CONFIG SET rdbcompression no");
      await own.call("SAVE");
      await own.call("CONFIG SET key-load-delay 5000");
      await own.call("CONFIG SET loading-process-events-interval-bytes 1024");
      const reloading = own.call("DEBUG RELOAD NOSAVE");
      const client = new Redis(own.server.url, { enableReadyCheck: false });
      await until(async () => /LOADING/.test(await client.ping().catch(String)), "Not loading");
      await using broadcast = new Broadcast(own.url(scheme));
      const subscription = await broadcast.subscribe("one");
      await broadcast.publish("one", "hello");
      assertEquals(await messages(subscription, 1), ["hello"]);
      await reloading;
      await closed(client);
    });

    test(`${scheme}: too many clients are told, and let in later`, async (own) => {
      const count = Number(
        /connected_clients:(\d+)/.exec(String(await own.call("INFO clients")))![1],
      );
      await own.call(`CONFIG SET maxclients ${count}`);
      await using broadcast = new Broadcast(own.url(scheme));
      // A server may end the connection before its reason is read.
      await assertRejects(() => broadcast.connect(), ConnectionError, "number of clients");
      await own.call("CONFIG SET maxclients 100");
      await broadcast.connect();
    });
  }

  test("redis: what another server takes over, after a master was demoted, is heard", async (own) => {
    await using other = await OwnServer.start();
    await using proxy = await Proxy.start(own.server.port);
    const url = proxy.url(own.url("redis"));
    await using broadcast = new Broadcast(`${url}?probe=1s`);
    const subscription = await broadcast.subscribe("one");
    const gaps: Gap[] = [];
    broadcast.addEventListener("gap", ({ gap }) => gaps.push(gap));
    const lost = state(broadcast, "reconnecting");
    // As behind a name that leads to another server by now: the connections outlive the change.
    proxy.redirect(other.server.port);
    await own.call(`REPLICAOF 127.0.0.1 ${other.server.port}`);
    await lost;
    await state(broadcast, "connected");
    await using stranger = new Broadcast(other.url("redis"));
    const heard = await stranger.subscribe("one");
    await broadcast.publish("one", "hello");
    assertEquals(await messages(heard, 1), ["hello"]);
    const [event] = await take(subscription, 1);
    assertEquals([event!.message, event!.gap?.cause], ["hello", "disconnect"]);
    assertEquals(gaps.map(({ cause }) => cause), ["disconnect"]);
  });

  test("redis: publishing at a replica waits for a master, and says so", async (own) => {
    await using other = await OwnServer.start();
    await own.call(`REPLICAOF 127.0.0.1 ${other.server.port}`);
    await until(async () => (await own.call("ROLE") as string[])[3] === "connected", "Not linked");
    await using reader = new Broadcast(`${own.url("redis")}?probe=1s`);
    const subscription = await reader.subscribe("one");
    const states = statesOf(reader);
    await using writer = new Broadcast(other.url("redis"));
    await writer.publish("one", "hello");
    assertEquals(await messages(subscription, 1), ["hello"]);
    await own.called("role", 4);
    assertEquals(states, []);
    await using late = new Broadcast(`${own.url("redis")}?timeout=300ms`);
    await assertRejects(
      () => late.publish("one", "x"),
      ConnectionError,
      "the server is a replica, where messages do not reach its master",
    );
    const published = reader.publish("one", "later");
    await state(reader, "reconnecting");
    await own.call("REPLICAOF NO ONE");
    await published;
  });

  test("redis: a replica that has lost its master is none to subscribe at", async (own) => {
    await own.call("REPLICAOF 127.0.0.1 1");
    await using broadcast = new Broadcast(own.url("redis"));
    await assertRejects(
      () => broadcast.subscribe("one"),
      ConnectionError,
      "the server is a replica without a connection to its master",
    );
  });

  for (const command of ["INFO", "ROLE"]) {
    test(`redis: a server without the command ${command} serves`, async (own) => {
      for (const scheme of SCHEMES) {
        await using broadcast = new Broadcast(`${own.url(scheme)}?probe=1s`);
        const subscription = await broadcast.subscribe("one");
        const states = statesOf(broadcast);
        if (command === "ROLE") await own.called("hello", 4);
        await broadcast.publish("one", "hello");
        assertEquals(await messages(subscription, 1), ["hello"]);
        assertEquals(states, []);
      }
    }, ["--rename-command", command, ""]);
  }

  test("redis-stream: a reply that nobody knows fails one call alone, after one new session", async (own) => {
    await using proxy = await Proxy.start(own.server.port);
    proxy.rewrite = (chunk) => {
      const text = new TextDecoder("latin1").decode(chunk);
      if (!text.includes("-WRONGTYPE")) return chunk;
      return new TextEncoder().encode(text.replaceAll("-WRONGTYPE", "-NEWERCODE"));
    };
    await own.admin.set("string", "x");
    await using broadcast = new Broadcast(proxy.url(own.url("redis-stream")));
    const subscription = await broadcast.subscribe("one");
    const states = statesOf(broadcast);
    await assertRejects(() => broadcast.publish("string", "x"), RefusedError, "NEWERCODE");
    assertEquals(states, ["reconnecting", "connected"]);
    await assertRejects(() => broadcast.subscribe("string"), RefusedError, "NEWERCODE");
    await assertRejects(() => broadcast.history("string"), RefusedError, "NEWERCODE");
    await broadcast.publish("one", "hello");
    assertEquals(await messages(subscription, 1), ["hello"]);
  });
});

function test(
  name: string,
  body: (own: OwnServer) => Promise<void>,
  args: readonly string[] = [],
): void {
  Deno.test(name, async () => {
    await using own = await OwnServer.start("--enable-debug-command", "yes", ...args);
    await deadline(body(own), PATIENCE);
  });
}
