/** URLs as providers and other clients write them, and connections that fail for want of TLS. */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { join } from "node:path";
import { Redis } from "ioredis";
import { clientsOf } from "../../../backends/redis/clients.ts";
import { Address } from "../../../core/backend/address.ts";
import { Broadcast, ConnectionError } from "../../../mod.ts";
import { messages } from "../../conformance/harness.ts";
import { withBroker } from "../../services/broker.ts";
import { start, Trust } from "../../services/redis.ts";
import { freePort } from "../../services/service.ts";
import { OwnServer, SCHEMES } from "./own_server.ts";

const STANDARD = { db: 0, family: 0, port: 6379, protocol: 3, username: null, password: null };

/** What is made of each URL: what differs from the standard. */
const URLS: Readonly<Record<string, object>> = {
  // Railway's private network has IPv6 alone.
  "redis://default:pass@redis.railway.internal:6379?family=0": {
    ...{ host: "redis.railway.internal", username: "default", password: "pass" },
  },
  "redis://localhost?family=4": { host: "localhost", family: 4 },
  "redis://localhost?family=6": { host: "localhost", family: 6 },
  "redis://[::1]:6380/2": { host: "::1", port: 6380, db: 2 },
  "redis://localhost?db=2": { host: "localhost", db: 2 },
  "redis://localhost/2?db=2": { host: "localhost", db: 2 },
  "redis://localhost?protocol=2": { host: "localhost", protocol: 2 },
  "redis://localhost?client_name=web": { host: "localhost", connectionName: "web" },
  "redis://user@localhost": { host: "localhost", username: "user", password: "" },
  // Upstash, DigitalOcean, Aiven.
  "rediss://default:AbC%2F123%3D@eu1-fair-cat.upstash.io:6379": {
    ...{ host: "eu1-fair-cat.upstash.io", username: "default", password: "AbC/123=" },
    tls: { servername: "eu1-fair-cat.upstash.io" },
  },
  "rediss://default:p@ss!@db-redis.db.ondigitalocean.com:25061": {
    ...{ host: "db-redis.db.ondigitalocean.com", port: 25061, username: "default" },
    ...{ password: "p@ss!", tls: { servername: "db-redis.db.ondigitalocean.com" } },
  },
  // Redis Cloud.
  "redis://default:pass@redis-12345.c1.us-east-1-2.ec2.cloud.redislabs.com:12345/0": {
    ...{ host: "redis-12345.c1.us-east-1-2.ec2.cloud.redislabs.com", port: 12345 },
    ...{ username: "default", password: "pass" },
  },
  // Heroku has certificates of its own.
  "rediss://:p1234@ec2-1-2-3-4.compute-1.amazonaws.com:7690?ssl_cert_reqs=none": {
    ...{ host: "ec2-1-2-3-4.compute-1.amazonaws.com", port: 7690, password: "p1234" },
    tls: { servername: "ec2-1-2-3-4.compute-1.amazonaws.com", rejectUnauthorized: false },
  },
  // Azure's keys end in an equals sign.
  "rediss://:abc+d=@name.redis.cache.windows.net:6380?ssl_cert_reqs=required": {
    ...{ host: "name.redis.cache.windows.net", port: 6380, password: "abc+d=" },
    tls: { servername: "name.redis.cache.windows.net" },
  },
  "redis://localhost?tls=true": { host: "localhost", tls: { servername: "localhost" } },
  "redis://localhost?ssl=true": { host: "localhost", tls: { servername: "localhost" } },
  "redis://localhost?tls=false": { host: "localhost" },
  "redis+unix:///var/run/redis.sock": { path: "/var/run/redis.sock" },
  "redis+unix://user:pass@/var/run/redis.sock?db=3": {
    ...{ path: "/var/run/redis.sock", db: 3, username: "user", password: "pass" },
  },
  // What redis-py, ioredis and go-redis have for their pools and timeouts.
  "redis://localhost?max_connections=5&decode_responses=true&health_check_interval=30": {
    host: "localhost",
  },
  "redis://localhost?allowUsernameInURI=true&connectTimeout=1000&pool_size=10": {
    host: "localhost",
  },
};

/** What is refused, and why. */
const REFUSED: Readonly<Record<string, string>> = {
  "redis://localhost?familly=4": 'unknown parameter "familly", did you mean "family"?',
  "redis://localhost?ssl_ca_certs=ca.pem": 'unknown parameter "ssl_ca_certs", use "ca"',
  "redis://localhost?password=x":
    'unknown parameter "password", write it before the host: redis://:password@host',
  "redis://localhost/1?db=2": 'the path and the parameter "db" differ',
  "redis://localhost?db=two": 'parameter "db" must be a whole number of at least 0, it is "two"',
  "redis://localhost?family=5": 'parameter "family" must be one of 0, 4, 6, it is "5"',
  "rediss://localhost?tls=false": 'the scheme is for TLS, and parameter "tls" is false',
  "redis://localhost?ssl_cert_reqs=none": 'parameter "ssl_cert_reqs" needs TLS, use rediss://',
  "unix:///var/run/redis.sock": 'unknown scheme "unix"',
};

for (const [url, expected] of Object.entries(URLS)) {
  for (const scheme of SCHEMES) {
    const own = url.replace(/^redis(s?)/, scheme === "redis" ? "redis$1" : "redis$1-stream");
    Deno.test(`${scheme}: ${own} leads where it says`, async () => {
      // Accepted as a whole, before anything is connected.
      new Broadcast(own);
      const client = (await clientsOf(new Address(own), undefined)).make();
      const options: Record<string, unknown> = { ...client.options };
      client.disconnect();
      const wanted: Record<string, unknown> = { ...STANDARD, ...expected };
      if ("path" in expected) delete wanted.port;
      const found = Object.fromEntries(Object.keys(wanted).map((name) => [name, options[name]]));
      assertEquals(found, wanted);
      assertEquals(options.tls !== undefined, "tls" in expected);
    });
  }
}

for (const [url, reason] of Object.entries(REFUSED)) {
  Deno.test(`redis: ${url} is refused, with what to do`, async () => {
    const open = async () => {
      await using broadcast = new Broadcast(url);
      await broadcast.connect();
    };
    const error = await assertRejects(open, TypeError);
    assertEquals(error.message.startsWith(`Cannot open "${new Address(url)}": ${reason}`), true);
  });
}

Deno.test("redis: a password that is not encoded is refused, and not shown", () => {
  for (const password of ["a/b", "a?b", "a#b"]) {
    const error = assertThrows(() => new Broadcast(`redis://:${password}@localhost`), TypeError);
    assert(error.message.includes("%2F") && !error.message.includes(password), error.message);
  }
});

withBroker("redis", () => {
  Deno.test("redis: a Unix socket serves, and its path is shown", async () => {
    const folder = await Deno.makeTempDir({ prefix: "redis-socket-" });
    const path = join(folder, "redis.sock");
    {
      await using _ = await start({ password: "p@ss", args: ["--unixsocket", path] });
      for (const scheme of SCHEMES) {
        await using broadcast = new Broadcast(`${scheme}+unix://:p%40ss@${path}?db=1`);
        const subscription = await broadcast.subscribe("one");
        await broadcast.publish("one", "hello");
        assertEquals(await messages(subscription, 1), ["hello"]);
      }
    }
    await using broadcast = new Broadcast(`redis+unix://${path}`);
    const error = await assertRejects(() => broadcast.connect(), ConnectionError);
    assert(error.message.startsWith(`Cannot connect to redis+unix://${path}: `), error.message);
    await Deno.remove(folder, { recursive: true });
  });

  Deno.test("redis: a database that does not exist is refused", async () => {
    await using own = await OwnServer.start();
    for (const scheme of SCHEMES) {
      await using broadcast = new Broadcast(`${own.url(scheme)}/99`);
      await assertRejects(() => broadcast.connect(), Error, "ERR DB index is out of range");
    }
  });

  Deno.test("redis: TLS that fails names the way out, in both directions", async () => {
    await using trust = await Trust.establish();
    const port = freePort();
    await using server = await start({ args: [...trust.args(port), "--tls-auth-clients", "no"] });
    const host = `127.0.0.1:${port}`;
    for (
      const [url, reason] of [
        [`redis://${host}`, "it expects TLS: use rediss:// or rediss-stream://"],
        [
          `rediss://${host}`,
          "self-signed certificate, pass the file of its certificate authority as ?ca=",
        ],
      ] as const
    ) {
      await using broadcast = new Broadcast(url);
      await assertRejects(() => broadcast.connect(), ConnectionError, reason);
    }
    // Redis waits for the rest of what it takes for a command: the limit of ioredis is 10 s.
    const client = new Redis(server.port, { tls: {}, connectTimeout: 500, lazyConnect: true });
    const { redis } = await import("../../../backends/redis/pubsub.ts");
    await using plain = new Broadcast(redis({ client }));
    await assertRejects(
      () => plain.connect(),
      ConnectionError,
      "did not answer within 0.5 s: perhaps it is no Redis server, or the port is not for TLS",
    );
    for (
      const url of [
        `redis://${host}?tls=true&ssl_cert_reqs=none`,
        `rediss://${host}?${trust.parameters}`,
      ]
    ) {
      await using broadcast = new Broadcast(url);
      const subscription = await broadcast.subscribe("one");
      await broadcast.publish("one", "hello");
      assertEquals(await messages(subscription, 1), ["hello"]);
    }
  });
});
