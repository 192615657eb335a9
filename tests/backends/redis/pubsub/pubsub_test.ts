import { assertEquals, assertRejects } from "@std/assert";
import { Redis } from "ioredis";
import { redis } from "../../../../backends/redis/pubsub.ts";
import { Broadcast, ConnectionError, RefusedError } from "../../../../mod.ts";
import { messages, take, uniqueChannel } from "../../../conformance/harness.ts";
import { withBroker } from "../../../services/broker.ts";
import { start, Trust } from "../../../services/redis.ts";
import { freePort } from "../../../services/service.ts";

withBroker("redis", (url) => {
  Deno.test("redis: a wrong password is refused, and never shown", async () => {
    await using server = await start({ password: "right" });
    await using broadcast = new Broadcast(`redis://:s3cret@127.0.0.1:${server.port}`);
    const error = await assertRejects(() => broadcast.connect(), RefusedError);
    assertEquals(
      error.message,
      `Cannot connect to redis://127.0.0.1:${server.port}: WRONGPASS invalid username-password pair or user is disabled; write the login before the host: redis://user:password@host or redis://:password@host`,
    );
    assertEquals(Deno.inspect(error, { depth: 10 }).includes("s3cret"), false);
  });

  Deno.test("redis: a missing password is refused", async () => {
    await using server = await start({ password: "right" });
    await using broadcast = new Broadcast(`redis://127.0.0.1:${server.port}`);
    const error = await assertRejects(() => broadcast.connect(), RefusedError);
    assertEquals(
      error.message,
      `Cannot connect to redis://127.0.0.1:${server.port}: NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time; write the login before the host: redis://user:password@host or redis://:password@host`,
    );
  });

  Deno.test("redis: the right password and a database number connect", async () => {
    await using server = await start({ password: "p@ss/word" });
    const password = encodeURIComponent("p@ss/word");
    await using broadcast = new Broadcast(`redis://:${password}@127.0.0.1:${server.port}/3`);
    const subscription = await broadcast.subscribe("chatroom");
    await broadcast.publish("chatroom", "hello");
    assertEquals(await messages(subscription, 1), ["hello"]);
  });

  Deno.test("redis: an address where nobody listens is named", async () => {
    await using broadcast = new Broadcast("redis://user:s3cret@127.0.0.1:1");
    const error = await assertRejects(() => broadcast.subscribe("chatroom"), ConnectionError);
    assertEquals(
      error.message,
      "Cannot connect to redis://127.0.0.1:1: connect ECONNREFUSED 127.0.0.1:1",
    );
  });

  Deno.test("redis: a client that the user has is used and never closed", async () => {
    const client = new Redis(url);
    const channel = uniqueChannel();
    const broadcast = new Broadcast(redis({ client }));
    const subscription = await broadcast.subscribe(channel);
    await client.publish(channel, "from the client");
    await broadcast.publish(channel, "from the broadcast");
    assertEquals(await messages(subscription, 2), ["from the client", "from the broadcast"]);
    await broadcast.disconnect();
    assertEquals(await client.ping(), "PONG");
    const closed = new Promise((resolve) => client.once("end", resolve));
    client.disconnect();
    await closed;
  });

  Deno.test("redis: a prefix stands before channels and patterns, and is never seen", async () => {
    const prefix = `${uniqueChannel()}[*]?\\:`;
    await using broadcast = new Broadcast(`${url}?prefix=${encodeURIComponent(prefix)}`);
    await using plain = new Broadcast(url);
    const channel = uniqueChannel();
    const subscription = await broadcast.subscribe(channel);
    const pattern = await broadcast.subscribe({ pattern: `${channel}*` });
    const raw = await plain.subscribe(prefix + channel);
    for (const name of [channel, prefix.replace("*", "x") + channel]) {
      await plain.publish(name, "not ours");
    }
    await broadcast.publish(channel, "ours");
    await plain.publish(`${prefix}${channel}`, "ours, too");
    for (const one of [subscription, pattern]) {
      const events = await take(one, 2);
      assertEquals(events.map(({ channel: name, message }) => [name, message]), [
        [channel, "ours"],
        [channel, "ours, too"],
      ]);
    }
    assertEquals(await messages(raw, 2), ["ours", "ours, too"]);
  });

  Deno.test("rediss: the server is known by ?ca=, and a client that must be known by ?cert= and ?key=", async () => {
    await using trust = await Trust.establish();
    const port = freePort();
    await using _ = await start({ args: trust.args(port) });
    for (const scheme of ["rediss", "rediss-stream"]) {
      const url = `${scheme}://127.0.0.1:${port}`;
      await using broadcast = new Broadcast(`${url}?${trust.parameters}`);
      const subscription = await broadcast.subscribe("chatroom");
      await broadcast.publish("chatroom", "hello");
      assertEquals(await messages(subscription, 1), ["hello"]);
      await using stranger = new Broadcast(
        `${url}?${new URLSearchParams({ ca: trust.certificate })}`,
      );
      await assertRejects(() => stranger.connect(), Error, "Cannot connect to rediss");
      await using trusting = new Broadcast(url);
      await assertRejects(() => trusting.connect(), ConnectionError, "ertificate");
    }
  });

  Deno.test("redis: the wire carries the payload alone", async () => {
    const client = new Redis(url);
    const channel = uniqueChannel();
    await client.subscribe(channel);
    const heard = new Promise((resolve) => client.once("message", (_, text) => resolve(text)));
    await using broadcast = new Broadcast(url);
    await broadcast.publish(channel, "hello");
    assertEquals(await heard, "hello");
    const closed = new Promise((resolve) => client.once("end", resolve));
    client.disconnect();
    await closed;
  });
});
