/** `broadcaster check`: the user of each login, which is never a credential, and servers in groups. */

import { join } from "node:path";
import { assertEquals, assertMatch } from "@std/assert";
import { Issuer } from "../backends/nats/jwt.ts";
import { withBroker } from "../services/broker.ts";
import { start as startMqtt } from "../services/mqtt.ts";
import { start as startNats } from "../services/nats.ts";
import { start as startCluster } from "../services/redis_cluster.ts";
import { start as startSentinels } from "../services/redis_sentinel.ts";
import { withScheme } from "./brokers.ts";
import { broadcaster } from "./command.ts";

/** The facts that the command shows of a server, which contain no secret. */
async function factsAt(url: string, secret?: string): Promise<Record<string, string>> {
  const { code, stdout, stderr } = await broadcaster(["check", url, "--json"]);
  assertEquals([code, stderr], [0, ""], stdout);
  if (secret !== undefined) assertEquals(stdout.includes(secret), false, stdout);
  return JSON.parse(stdout).server;
}

withBroker("nats", () => {
  Deno.test("check names the user of NATS that the URL names, and shows no token", async () => {
    const logins = {
      "user: app, password: s3cret": { login: "app:s3cret@", user: "app" },
      "token: s3cret": { login: "s3cret@", user: undefined },
    };
    for (const [authorization, { login, user }] of Object.entries(logins)) {
      await using server = await startNats({ config: `authorization { ${authorization} }` });
      for (const scheme of ["nats", "nats-stream"]) {
        const url = withScheme(server.url, scheme).replace("//", `//${login}`);
        assertEquals((await factsAt(url, "s3cret")).user, user);
      }
    }
  });

  Deno.test("check names the user of a NATS credentials file", async () => {
    const issuer = new Issuer();
    await using server = await startNats({ config: issuer.config });
    const file = join(server.directory, "user.creds");
    const text = issuer.credentials();
    await Deno.writeTextFile(file, text);
    const [jwt] = /^ey.*$/m.exec(text)!;
    assertEquals((await factsAt(`${server.url}?creds=${file}`, jwt)).user, "test");
  });
});

withBroker("amqp", (url) => {
  Deno.test("check names the user of RabbitMQ, which is guest if the URL names none", async () => {
    const { host, username } = new URL(url);
    assertEquals((await factsAt(`amqp://${host}`)).user, "guest");
    assertEquals((await factsAt(url)).user, username || "guest");
  });
});

withBroker("mqtt", () => {
  Deno.test("check names a user of MQTT, but not a name without a password", async () => {
    await using server = await startMqtt({ user: { name: "app", password: "s3cret" } });
    const url = server.url.replace("//", "//app:s3cret@");
    assertEquals((await factsAt(url, "s3cret")).user, "app");
    await using open = await startMqtt();
    assertEquals((await factsAt(open.url.replace("//", "//t0ken@"), "t0ken")).user, undefined);
  });
});

withBroker("redis", () => {
  Deno.test("check counts the masters of a Redis Cluster", async () => {
    await using cluster = await startCluster({ password: "s3cret" });
    for (const scheme of ["redis", "redis-stream"]) {
      const { server, ...facts } = await factsAt(cluster.urlOf(scheme), "s3cret");
      assertMatch(server!, /^(Redis|Valkey) \d+\.\d+/);
      assertEquals(facts, { user: "default", TLS: "no", cluster: "3 masters" });
    }
  });

  Deno.test("check describes the master that Redis Sentinel watches", async () => {
    await using sentinels = await startSentinels({ password: "s3cret" });
    for (const scheme of ["redis", "redis-stream"]) {
      const { server, ...facts } = await factsAt(sentinels.url(scheme), "s3cret");
      assertMatch(server!, /^(Redis|Valkey) \d+\.\d+/);
      assertEquals(facts, { role: "master", user: "default", TLS: "no" });
    }
  });
});
