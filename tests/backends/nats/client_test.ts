/** The factories, with and without a client of the user's. */

import * as jetstream from "@nats-io/jetstream";
import * as transport from "@nats-io/transport-node";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { natsStream } from "../../../backends/nats/log.ts";
import { nats } from "../../../backends/nats/pubsub.ts";
import { Broadcast, RefusedError } from "../../../mod.ts";
import { messages, take, uniqueChannel } from "../../conformance/harness.ts";
import { withBroker } from "../../services/broker.ts";
import { start } from "../../services/nats.ts";
import { Proxy } from "../../services/proxy.ts";
import { state } from "../rig.ts";

const FACTORIES = { nats, "nats-stream": natsStream };

function client(scheme: "nats" | "nats-stream"): void {
  const hasLog = scheme === "nats-stream";
  const backend = FACTORIES[scheme];

  Deno.test(`${scheme}: a client that the user has is used and never closed`, async () => {
    await using server = await start();
    const client = await connect({ servers: server.url });
    const channel = uniqueChannel();
    const broadcast = new Broadcast(backend({ client }));
    const subscription = await broadcast.subscribe(channel);
    client.publish(hasLog ? `broadcaster.${channel}` : channel, "from the client");
    await client.flush();
    await broadcast.publish(channel, "from the broadcast");
    assertEquals(await messages(subscription, 2), ["from the client", "from the broadcast"]);
    await broadcast.disconnect();
    await client.flush();
    await client.close();
    await using late = new Broadcast(backend({ client }));
    await assertRejects(() => late.connect(), RefusedError, "closed");
  });

  Deno.test(`${scheme}: the facts name the user of a client, and show no token of one`, async () => {
    for (const login of [{ user: "app", pass: "s3cret" }, { token: "s3cret" }]) {
      const rules = "user" in login ? "user: app, password: s3cret" : "token: s3cret";
      await using server = await start({ config: `authorization { ${rules} }` });
      const client = await connect({ servers: server.url, ...login });
      const used = await backend({ client }).open();
      await used.connect!();
      const facts = await used.describe!();
      await used.close();
      await client.close();
      assertEquals([facts.user, JSON.stringify(facts).includes("s3cret")], [login.user, false]);
    }
  });

  Deno.test(`${scheme}: what a client loses that reconnects by itself is no secret`, async () => {
    await using server = await start();
    await using proxy = await Proxy.start(server.port);
    await using other = new Broadcast(server.url.replace("nats", scheme));
    const client = await connect({ servers: `127.0.0.1:${proxy.port}`, reconnectTimeWait: 100 });
    const broadcast = new Broadcast(backend({ client }));
    const channel = uniqueChannel();
    const subscription = await broadcast.subscribe(channel);
    await other.publish(channel, "before");
    assertEquals(await messages(subscription, 1), ["before"]);
    const lost = state(broadcast, "reconnecting");
    const back = lost.then(() => state(broadcast, "connected"));
    proxy.refuse();
    proxy.cut();
    await lost;
    await other.publish(channel, "meanwhile");
    await proxy.accept();
    await back;
    await broadcast.publish(channel, "after");
    const events = await take(subscription, hasLog ? 2 : 1);
    assertEquals(
      events.map(({ message, gap }) => [message, gap?.cause]),
      hasLog ? [["meanwhile", undefined], ["after", undefined]] : [["after", "disconnect"]],
    );
    await broadcast.disconnect();
    await client.close();
  });
}

function factory(scheme: "nats" | "nats-stream"): void {
  const backend = FACTORIES[scheme];
  const name = scheme === "nats" ? "nats()" : "natsStream()";

  Deno.test(`${name} connects to the server of its URL`, async () => {
    await using server = await start();
    const url = server.url.replace("nats", scheme);
    await using broadcast = new Broadcast(backend({ url }));
    await using other = new Broadcast(url);
    const subscription = await other.subscribe("x");
    await broadcast.publish("x", "hello");
    assertEquals(await messages(subscription, 1), ["hello"]);
  });

  Deno.test(`${name} has the parameters of its URL as options`, () => {
    const files = { ca: "b.pem", cert: "c.pem", creds: "user.creds" };
    const { address } = backend({ url: `${scheme}://host?ca=a.pem`, tls: true, ...files });
    assertEquals(Object.fromEntries(address.parameters), {
      ca: "a.pem",
      creds: "user.creds",
      tls: "true",
      cert: "c.pem",
    });
    assertEquals(String(backend().address), `${scheme}://`);
  });

  Deno.test(`${name} refuses a URL of another scheme`, () => {
    assertThrows(
      () => backend({ url: "redis://localhost" }),
      TypeError,
      `Cannot open "redis://localhost": its scheme must be ${scheme}, it is redis`,
    );
  });

  Deno.test(`${name} refuses what is no connection of @nats-io, and says what it is`, async () => {
    await using server = await start();
    const client = await connect({ servers: server.url });
    // A connection of the package "nats", version 2, has what later ones have, and these.
    const legacy = Object.assign(Object.create(client), {
      jetstream: () => {},
      jetstreamManager: () => {},
    });
    const promise = Promise.resolve(client);
    const wrong: [unknown, string][] = [
      [promise, "a promise, await it first"],
      [transport, "the module, pass what its connect() returns"],
      [legacy, "a connection of the package nats, use that of @nats-io/transport-node"],
      [jetstream.jetstream(client), "a JetStreamClientImpl without a method subscribe()"],
      ["nats://localhost", "a string"],
      [connect, "a function without a method publish()"],
      [class Connection {}, "a class, call it with new"],
      [{ publish() {}, subscribe() {} }, "an Object without a method request()"],
    ];
    for (const [given, kind] of wrong) {
      const { message } = assertThrows(
        () => backend({ client: given as NatsConnection }),
        TypeError,
      );
      assertEquals(
        message,
        `Cannot use client: it must be a NatsConnection of @nats-io, as \`await connect()\` returns it, it is ${kind}`,
      );
    }
    await client.close();
  });
}

Deno.test("natsStream() has the limits of the stream as options", () => {
  const { address } = natsStream({
    stream: "events",
    retention: 60_000,
    maxlen: 7,
    maxBytes: 1_000,
    storage: "memory",
    replicas: 3,
  });
  assertEquals(Object.fromEntries(address.parameters), {
    stream: "events",
    retention: "60s",
    maxlen: "7",
    maxBytes: "1000",
    storage: "memory",
    replicas: "3",
  });
});

Deno.test("URLs of other clients of NATS are refused with what to write", () => {
  for (
    const [url, help] of [
      ["tls://connect.ngs.global", "for NATS, write nats://…?tls=true or nats-stream://…?tls=true"],
      ["wss://host:443", "for WebSockets, connect a client"],
      ["nats://host?credentials=user.creds", 'use "creds"'],
      ["nats-stream://host?nkey=seed", "pass a connection with an nkeyAuthenticator()"],
      ["nats://host?cred=user.creds", 'did you mean "creds"?'],
      ["nats-stream://host?max_bytes=1", 'did you mean "maxBytes"?'],
    ] as const
  ) assertThrows(() => new Broadcast(url), TypeError, help);
  assertEquals(new Broadcast("nats://token@connect.ngs.global?tls=true&creds=a").state, "idle");
});

withBroker("nats", () => {
  client("nats");
  client("nats-stream");
  factory("nats");
  factory("nats-stream");

  Deno.test("natsStream() uses the client and the library that it is given", async () => {
    await using server = await start();
    const client = await connect({ servers: server.url });
    let times = 0;
    const jetstreamManager: typeof jetstream.jetstreamManager = (...given) => {
      times++;
      return jetstream.jetstreamManager(...given);
    };
    await using broadcast = new Broadcast(
      natsStream({ client, jetstreamManager, stream: "events", retention: 3_600_000 }),
    );
    await broadcast.publish("x", "hello");
    assertEquals((await broadcast.history("x")).map(({ message }) => message), ["hello"]);
    assertEquals(times, 1);
    const manager = await jetstream.jetstreamManager(client);
    assertEquals((await manager.streams.info("events")).config.max_age, 3_600e9);
    await broadcast.disconnect();
    await client.close();
  });

  Deno.test("natsStream() refuses a library that is not the function", () => {
    assertThrows(
      () => natsStream({ jetstreamManager: jetstream as never }),
      TypeError,
      "Cannot use jetstreamManager: it must be the function of @nats-io/jetstream, it is ",
    );
  });
});
