/** `broadcaster check`: what works, what is missing, and what the server tells of itself. */

import { assert, assertEquals, assertMatch, assertNotMatch } from "@std/assert";
import { OwnServer } from "../backends/redis/own_server.ts";
import { TestDatabase } from "../backends/postgres/log/database.ts";
import { withBroker } from "../services/broker.ts";
import { start as startNats } from "../services/nats.ts";
import { start as startRedis, Trust } from "../services/redis.ts";
import { freePort } from "../services/service.ts";
import { SCHEMES, withScheme } from "./brokers.ts";
import { broadcaster } from "./command.ts";

/** What the servers tell of themselves. */
const SERVERS: Readonly<Record<string, RegExp>> = {
  redis: /^(Redis|Valkey) \d+\.\d+/,
  postgres: /^PostgreSQL \d+/,
  kafka: /^Kafka/,
  amqp: /^RabbitMQ \d+\.\d+/,
  mqtt: /^mosquitto version \d+/,
  nats: /^NATS \d+\.\d+/,
};

for (const { name, broker, hasLog, hasPatterns } of SCHEMES) {
  withBroker(broker, (found) => {
    const url = withScheme(found, name);

    Deno.test(`${name}: check proves what works, and names the server`, async () => {
      const { code, stdout, stderr } = await broadcaster(["check", url, "--json"]);
      assertEquals([code, stderr], [0, ""], stdout);
      const { ok, steps, server, features, warnings } = JSON.parse(stdout);
      assert(ok);
      assertEquals(steps.map(({ name, result }: Record<string, string>) => [name, result]), [
        ["connect, client library included", "ok"],
        ["subscribe", "ok"],
        ["publish and receive", "ok"],
        ["read the past", hasLog ? "ok" : "absent"],
        ["subscribe to patterns", hasPatterns ? "ok" : "absent"],
      ]);
      assertMatch(server.server, SERVERS[broker]!);
      assertEquals(server.TLS, "no");
      assertEquals([features.log, features.patterns], [hasLog, hasPatterns]);
      assertEquals(warnings, []);
    });
  });
}

Deno.test("check writes a report for people, and no line of it is wide", async () => {
  await using server = await startRedis();
  const { code, stdout, stderr } = await broadcaster(["check", server.url]);
  assertEquals([code, stderr], [0, ""]);
  assertMatch(
    stdout,
    /^✓ connect, client library included: \d+(\.\d)? ms\n✓ subscribe: .*\n✓ publish and receive: .*\n- read the past: there is no log, redis-stream:\/\/ has one\n✓ subscribe to patterns: .*\n\naddress: +redis:\/\/127\.0\.0\.1:\d+\nserver: +(Redis|Valkey) .*\nrole: +master\n/,
  );
  assertEquals(stdout.split("\n").filter((line) => line.length > 80), []);
});

Deno.test("check fails where nobody listens, and shows no password", async () => {
  const outcome = await broadcaster(["check", "redis://user:hunter2@127.0.0.1:1"]);
  assertEquals([outcome.code, outcome.stderr], [1, ""]);
  assertMatch(outcome.stdout, /^✗ connect.*\n {2}Cannot connect to redis:\/\/127\.0\.0\.1:1: .*\n/);
  assertNotMatch(outcome.stdout, /hunter2/);
});

Deno.test("check names the right that a Redis user lacks, and the command that grants it", async () => {
  await using own = await OwnServer.start();
  await own.user("app", "+subscribe +unsubscribe +psubscribe +punsubscribe &*");
  const { code, stdout } = await broadcaster(["check", own.url("redis", "app")]);
  assertEquals(code, 1);
  assertMatch(stdout, /✓ subscribe: /);
  assertMatch(
    stdout,
    /✗ publish and receive\n {2}.*NOPERM.*'publish'.*ACL SETUSER <user> \+publish\n/,
  );
  await own.call("ACL SETUSER app +publish");
  const { stdout: now } = await broadcaster(["check", own.url("redis", "app"), "--json"]);
  assertEquals([JSON.parse(now).ok, JSON.parse(now).server.user], [true, undefined], now);
});

Deno.test("check uses the channel that is named", async () => {
  await using own = await OwnServer.start();
  await own.user("app", "+publish +subscribe +unsubscribe &mine");
  const url = own.url("redis", "app");
  const other = await broadcaster(["check", url]);
  assertMatch(other.stdout, /✗ subscribe\n {2}.*NOPERM.*channel/);
  const mine = await broadcaster(["check", url, "--channel", "mine"]);
  assertMatch(mine.stdout, /✓ publish and receive: /);
});

Deno.test("check tells the version of TLS", async () => {
  await using trust = await Trust.establish();
  const port = freePort();
  await using _server = await startRedis({ args: trust.args(port) });
  const url = `rediss://localhost:${port}?${trust.parameters}`;
  const { code, stdout } = await broadcaster(["check", url]);
  assertEquals(code, 0, stdout);
  assertMatch(stdout, /\nTLS: +TLSv1\.3\n/);
});

withBroker("postgres", (server) => {
  Deno.test("check tells which right the log of Postgres lacks", async () => {
    await using database = await TestDatabase.create(server);
    const role = await database.role("nobody");
    const { code, stdout } = await broadcaster(["check", database.logAs(role)]);
    assertEquals(code, 1);
    assertMatch(
      stdout,
      /✗ connect.*\n {2}.*this role cannot create them, connect as its owner first/,
    );
  });
});

withBroker("nats", () => {
  Deno.test("check names the subject that a NATS user may not use", async () => {
    await using server = await startNats({
      config: `authorization { users: [{ user: app, password: hunter2,
        permissions: { publish: [">"], subscribe: ["other.>"] } }] }`,
    });
    const url = server.url.replace("//", "//app:hunter2@");
    const { code, stdout } = await broadcaster(["check", url]);
    assertEquals(code, 1);
    assertMatch(
      stdout,
      /✗ subscribe\n {2}.*Permissions Violation for Subscription to "broadcaster-check"\n✓ publish\n/,
    );
    assertNotMatch(stdout, /hunter2/);
  });
});
