/** Streams that other programs use, too. */

import { Buffer } from "node:buffer";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { Redis } from "ioredis";
import { redisStream } from "../../../../backends/redis/log.ts";
import type { Item, Payload } from "../../../../core/backend/contract.ts";
import { Position } from "../../../../core/backend/position.ts";
import { Broadcast, RefusedError } from "../../../../mod.ts";
import { messages, take, uniqueChannel } from "../../../conformance/harness.ts";
import { withBroker } from "../../../services/broker.ts";
import { start } from "../../../services/redis.ts";
import { assertExpires } from "../../expiry.ts";
import { closed, Listening, Stream } from "./stream.ts";

function strangers(url: string): void {
  Deno.test("redis-stream: what is added without a wake is found", async () => {
    await using stream = await Stream.open(url);
    await using broadcast = new Broadcast(url);
    const subscription = await broadcast.subscribe(stream.key);
    for (const message of ["one", "two", "three"]) {
      await stream.add(message);
      const [event] = await take(subscription, 1);
      assertEquals([event!.message, event!.gap], [message, undefined]);
    }
  });

  Deno.test("redis-stream: an event is an entry with the field message", async () => {
    await using stream = await Stream.open(url);
    await stream.publish("hello");
    const [entry] = await stream.client.xrange(stream.key, "-", "+");
    assertEquals(entry![1], ["message", "hello"]);
  });

  Deno.test("redis-stream: headers are the other fields, as far as they are text", async () => {
    await using stream = await Stream.open(url);
    await using broadcast = new Broadcast(url);
    await broadcast.publish(stream.key, "ours", { headers: { trace: "é", b: "" } });
    const [entry] = await stream.client.xrange(stream.key, "-", "+");
    assertEquals(entry![1], ["message", "ours", "trace", "é", "b", ""]);
    const bytes = Buffer.of(0xff, 0xfe);
    const rest = ["a", "1", "message", "theirs", "__proto__", "p", "a", "2", "c\r\n", " d "];
    await stream.client.xadd(stream.key, "*", ...rest, "bytes", bytes, bytes, "x", "message", "no");
    await stream.client.xadd(stream.key, "*", "message", "alone", bytes, bytes);
    const past = await broadcast.history(stream.key);
    assertEquals(past.map(({ message }) => message), ["ours", "theirs", "alone"]);
    assertEquals(past.map(({ headers }) => headers && Object.entries(headers)), [
      [["trace", "é"], ["b", ""]],
      [["a", "2"], ["__proto__", "p"], ["c\r\n", " d "]],
      undefined,
    ]);
  });

  Deno.test("redis-stream: a header cannot have the name of the message's field", async () => {
    await using stream = await Stream.open(url);
    await using broadcast = new Broadcast(url);
    const headers = { message: "other" };
    await broadcast.publish(stream.key, "m", { headers: { Message: "other" } });
    const refused = () => broadcast.publish(stream.key, "m", { headers });
    assertEquals(
      (await assertRejects(refused, TypeError)).message,
      `Cannot publish to "${stream.key}" on redis-stream: header "message" is reserved for the message itself`,
    );
  });

  Deno.test("redis-stream: a key is remembered beside the stream, as long as it was asked to", async () => {
    await using stream = await Stream.open(url);
    await using broadcast = new Broadcast(url);
    await broadcast.publish(stream.key, "m", {
      idempotencyKey: "a:b{c} é",
      idempotencyTtl: 60_000,
    });
    const name = `${stream.key}:broadcaster-key:a%3Ab%7Bc%7D%20%C3%A9`;
    const [[id]] = await stream.client.xrange(stream.key, "-", "+") as [[string, string[]]];
    assertEquals((await stream.client.get(name))!.split(" ")[0], id);
    const left = await stream.client.pttl(name);
    assert(left > 50_000 && left <= 60_000, `${left} ms`);
    await stream.client.del(name);
    await assertExpires(broadcast, `${stream.key}:other`);
    await stream.client.del(`${stream.key}:other`, `${stream.key}:other:broadcaster-key:k`);
  });

  Deno.test("redis-stream: a key that cannot be remembered stores nothing", async () => {
    await using stream = await Stream.open(url);
    await using broadcast = new Broadcast(url);
    const name = `${stream.key}:broadcaster-key:k`;
    await stream.client.rpush(name, "a list");
    await assertRejects(
      () => broadcast.publish(stream.key, "m", { idempotencyKey: "k" }),
      RefusedError,
    );
    assertEquals(await stream.client.exists(stream.key), 0);
    await stream.client.del(name);
  });

  Deno.test("redis-stream: who may not remember a key stores nothing", async () => {
    await using server = await start();
    const admin = new Redis(server.url);
    await admin.call("ACL", "SETUSER", "writer", "on", ">pw", "~*", "&*", "+@all", "-set");
    await using broadcast = new Broadcast(
      server.url.replace("redis://", "redis-stream://writer:pw@"),
    );
    const publish = () => broadcast.publish("orders", "m", { idempotencyKey: "k" });
    for (let times = 0; times < 3; times++) await assertRejects(publish, RefusedError);
    assertEquals(await admin.keys("*"), []);
    await admin.call("ACL", "SETUSER", "writer", "+set", "-xadd");
    await assertRejects(publish, RefusedError);
    assertEquals(await admin.exists("orders"), 0);
    await admin.call("ACL", "SETUSER", "writer", "+xadd");
    await publish();
    await publish();
    assertEquals(await admin.xlen("orders"), 1);
    await closed(admin);
  });

  Deno.test("redis-stream: a channel never has the name of a key", async () => {
    await using stream = await Stream.open(url);
    await using broadcast = new Broadcast(url);
    const channel = `${stream.key}:broadcaster-key:order-7`;
    for (
      const attempt of [
        () => broadcast.publish(channel, "m"),
        () => broadcast.subscribe(channel),
        () => broadcast.history(channel),
      ]
    ) {
      assertEquals(
        (await assertRejects(attempt, TypeError)).message,
        `Cannot use channel "${channel}" on redis-stream: ":broadcaster-key:" is reserved for idempotency keys`,
      );
    }
    await broadcast.publish(stream.key, "m", { idempotencyKey: "order-7" });
    await stream.client.del(channel);
  });

  Deno.test("redis-stream: entries without that field are skipped", async () => {
    await using stream = await Stream.open(url);
    await using tail = new Listening(await stream.backend.tail(stream.key));
    await stream.client.xadd(stream.key, "*", "other", "x");
    await stream.client.xadd(stream.key, "*", "other", "x", "message", "in it", "more", "y");
    assertEquals(await tail.until("in it"), [undefined, "in it"]);
    await stream.client.xadd(stream.key, "*", "messages", "x");
    await stream.publish("last");
    assertEquals(await tail.until("last"), [undefined, "last"]);
    const page = [undefined, "in it", undefined, "last"];
    assertEquals(await stream.after(Position.start), page);
  });

  Deno.test("redis-stream: a fingerprint is the same wherever a record comes from", async () => {
    await using stream = await Stream.open(url);
    await using tail = new Listening(await stream.backend.tail(stream.key));
    const payloads: Payload[] = [
      ...["", "a", "é".repeat(40), "x".repeat(63) + "🎉", "x".repeat(62) + "🎉", "y".repeat(1_000)],
      ...["x".repeat(64) + "é", "x".repeat(63) + "é", "🎉".repeat(17), "end"],
      Uint8Array.from({ length: 256 }, (_, byte) => byte),
    ];
    const published = await stream.publish(...payloads);
    const { items } = await stream.backend.read!(stream.key, { limit: 100 });
    assertEquals(items.map(placeIn), published.map(String));
    const live: string[] = [];
    while (live.length < payloads.length) {
      live.push(...(await tail.read()).map(placeIn));
    }
    assertEquals(live, published.map(String));
    const again = await stream.backend.tail(stream.key);
    assertEquals(`${again.position}`, `${published.at(-1)}`);
    await again.records.cancel();
    for (const [index, position] of published.entries()) {
      const page = await stream.backend.read!(stream.key, { after: position, limit: 100 });
      assertEquals(page.items.length, payloads.length - 1 - index);
    }
  });

  Deno.test("redis-stream: a key that is no stream is refused", async () => {
    await using stream = await Stream.open(url);
    await stream.client.set(stream.key, "text");
    await using broadcast = new Broadcast(url);
    const reason = "WRONGTYPE Operation against a key holding the wrong kind of value";
    for (
      const [what, attempt] of [
        ["publish to", () => broadcast.publish(stream.key, "x")],
        ["subscribe to", () => broadcast.subscribe(stream.key)],
        ["read history of", () => broadcast.history(stream.key)],
      ] as const
    ) {
      const error = await assertRejects<Error>(attempt as () => Promise<unknown>, RefusedError);
      assertEquals(error.message, `Cannot ${what} "${stream.key}": ${reason}`);
    }
    const other = uniqueChannel();
    await broadcast.publish(other, "others go on");
    await stream.client.del(other);
  });

  Deno.test("redis-stream: a stream that becomes something else ends its subscriptions", async () => {
    await using stream = await Stream.open(url);
    await using broadcast = new Broadcast(url);
    const subscription = await broadcast.subscribe(stream.key);
    const next = take(subscription, 1);
    await stream.client.set(stream.key, "text");
    await assertRejects(() => next, RefusedError, "WRONGTYPE");
  });

  Deno.test("redis-stream: a stream keeps maxlen events, about", async () => {
    const count = 1_000;
    for (const [maxlen, least, most] of [[100, 100, 300], [0, count, count]] as const) {
      await using stream = await Stream.open(`${url}?maxlen=${maxlen}`);
      await stream.publish(...Array.from({ length: count }, (_, number) => `m${number}`));
      const length = await stream.client.xlen(stream.key);
      assertEquals([length >= least, length <= most], [true, true], `${length}`);
    }
  });

  Deno.test("redis-stream: a client that the user has is used and never closed", async () => {
    const client = new Redis(url.replace("-stream", ""), {
      keyPrefix: "test-prefix:",
      replyMapping: "resp3",
      stringNumbers: true,
    });
    const channel = uniqueChannel();
    const broadcast = new Broadcast(redisStream({ client }));
    const subscription = await broadcast.subscribe(channel);
    await broadcast.publish(channel, "from the broadcast");
    await client.xadd(channel, "*", "message", "from the client");
    assertEquals(await messages(subscription, 2), ["from the broadcast", "from the client"]);
    assertEquals((await broadcast.history(channel)).length, 2);
    await broadcast.disconnect();
    assertEquals(await client.del(channel) as unknown, "1");
    await closed(client);
  });

  Deno.test("redis-stream: a prefix stands before keys and wakes", async () => {
    await using stream = await Stream.open(url);
    const [app, channel] = [`${uniqueChannel()}:`, stream.key];
    await using broadcast = new Broadcast(`${url}?prefix=${app}`);
    const subscription = await broadcast.subscribe(channel);
    await stream.publish("not ours");
    const wakes: string[] = [];
    const listener = stream.client.duplicate();
    listener.on("message", (wake) => wakes.push(wake));
    await listener.subscribe(`${app}${channel}:wake`);
    const id = await broadcast.publish(channel, "ours");
    const [event] = await take(subscription, 1);
    assertEquals([event!.channel, event!.message, event!.id], [channel, "ours", id]);
    await listener.ping();
    // The first message also tries whether a script may publish there.
    assertEquals(wakes, [`${app}${channel}:wake`, `${app}${channel}:wake`]);
    assertEquals(await stream.client.del(`${app}${channel}`), 1);
    await closed(listener);
  });

  Deno.test("redis-stream: who may not publish wakes stores all the same", async () => {
    await using server = await start();
    const admin = new Redis(server.url);
    await admin.call("ACL", "SETUSER", "writer", "on", ">pw", "~*", "+@all", "resetchannels");
    await using writer = new Broadcast(
      server.url.replace("redis://", "redis-stream://writer:pw@"),
    );
    await using broadcast = new Broadcast(server.url.replace("redis://", "redis-stream://"));
    const subscription = await broadcast.subscribe("chatroom");
    await writer.publish("chatroom", "hello");
    assertEquals(await messages(subscription, 1), ["hello"]);
    await assertRejects(() => writer.subscribe("chatroom"), RefusedError, "NOPERM");
    await closed(admin);
  });
}

function placeIn(item: Item): string {
  return "place" in item ? `${Position.of(item.place!)}` : item.kind;
}

withBroker("redis", (url) => strangers(url.replace(/^(rediss?):/, "$1-stream:")));
