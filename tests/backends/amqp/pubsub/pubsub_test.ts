import { Buffer } from "node:buffer";
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { connect } from "amqplib";
import { amqp } from "../../../../backends/amqp/pubsub.ts";
import { bindingOf, channelOf, keyOf } from "../../../../backends/amqp/routing_key.ts";
import { SEQUENCE_HEADER } from "../../../../core/backend/kit/loss_detection.ts";
import { Pattern } from "../../../../core/backend/pattern.ts";
import { Broadcast, ConnectionError, RefusedError } from "../../../../mod.ts";
import { messages, take, uniqueChannel } from "../../../conformance/harness.ts";
import { start } from "../../../services/amqp.ts";
import { withBroker } from "../../../services/broker.ts";
import { certify } from "../../../services/certificate.ts";
import { freePort } from "../../../services/service.ts";

withBroker("amqp", (url) => {
  Deno.test("amqp: other programs share a channel both ways, with the payload alone", async () => {
    const channel = uniqueChannel();
    await using broadcast = new Broadcast(url);
    const subscription = await broadcast.subscribe(channel);
    const stranger = await connect(url);
    const lane = await stranger.createChannel();
    const { queue } = await lane.assertQueue("", { exclusive: true });
    await lane.bindQueue(queue, "broadcaster", channel);
    const heard = new Promise((resolve) =>
      void lane.consume(queue, (message) => resolve(String(message?.content)), { noAck: true })
    );
    await broadcast.publish(channel, "ours");
    assertEquals(await heard, "ours");
    lane.publish("broadcaster", channel, Buffer.from("theirs"));
    assertEquals(await messages(subscription, 2), ["ours", "theirs"]);
    await stranger.close();
  });

  Deno.test("amqp: a wrong password is refused with where it is written, and never shown", async () => {
    const at = new URL(url);
    await using broadcast = new Broadcast(`amqp://guest:s3cret@${at.host}`);
    const error = await assertRejects(() => broadcast.connect(), RefusedError);
    assertMatch(
      error.message,
      /403 \(ACCESS-REFUSED\).*; write the login before the host: amqp:\/\/user:password@host$/,
    );
    assertEquals(Deno.inspect(error, { depth: 10 }).includes("s3cret"), false);
  });

  Deno.test("amqp: a hole in a publisher's numbers is a gap with the exact count", async () => {
    const channel = uniqueChannel();
    await using broadcast = new Broadcast(url);
    const subscription = await broadcast.subscribe(channel);
    const stranger = await connect(url);
    const lane = await stranger.createChannel();
    for (const number of [1, 2, 6]) {
      const headers = { [SEQUENCE_HEADER]: `abcdefghijkl:${number}` };
      lane.publish("broadcaster", channel, Buffer.from(`m${number}`), { headers });
    }
    const events = await take(subscription, 3);
    assertEquals(events.map(({ message }) => message), ["m1", "m2", "m6"]);
    const [first, second, third] = events.map(({ gap }) => gap);
    assertEquals([first, second], [undefined, undefined]);
    assertEquals([third?.cause, third?.missed, third?.after], ["unknown", 3, events[1]!.id]);
    await stranger.close();
  });

  Deno.test("amqp: the user's connection is used, never closed; a queue that goes is a gap", async () => {
    const client = await connect(url);
    const lane = await client.createChannel();
    const queues: string[] = [];
    const make = client.createChannel.bind(client);
    client.createChannel = async () => {
      const made = await make();
      const assert = made.assertQueue.bind(made);
      made.assertQueue = async (...args) => {
        const asserted = await assert(...args);
        queues.push(asserted.queue);
        return asserted;
      };
      return made;
    };
    const channel = uniqueChannel();
    const broadcast = new Broadcast(amqp({ client }));
    const [lost, kept] = await Promise.all([
      broadcast.subscribe(channel),
      broadcast.subscribe(`${channel}.other`),
    ]);
    await broadcast.publish(channel, "one");
    assertEquals(await messages(lost, 1), ["one"]);
    const told = new Promise((resolve) => broadcast.addEventListener("gap", resolve));
    await lane.deleteQueue(queues.at(-1)!);
    await told;
    assertEquals(broadcast.state, "connected");
    await broadcast.publish(channel, "two");
    await broadcast.publish(`${channel}.other`, "other");
    const gaps = [(await take(lost, 1))[0]!.gap?.cause, (await take(kept, 1))[0]!.gap?.cause];
    assertEquals(gaps.filter(Boolean), ["disconnect"]);
    await broadcast.disconnect();
    assertEquals((await lane.checkExchange("broadcaster")) !== undefined, true);
    await client.close();
  });

  Deno.test("amqp: a wrong password is refused, and never shown", async () => {
    const { host } = new URL(url);
    await using broadcast = new Broadcast(`amqp://guest:s3cret@${host}`);
    const error = await assertRejects(() => broadcast.connect(), RefusedError);
    assertEquals(
      error.message.slice(0, 80),
      `Cannot connect to amqp://${host}: Handshake terminated by server: 403 (ACCESS-REFUSED)`
        .slice(0, 80),
    );
    assertEquals(Deno.inspect(error, { depth: 10 }).includes("s3cret"), false);
  });

  Deno.test("amqp: a virtual host that is not there is refused", async () => {
    await using broadcast = new Broadcast(`${url}/no%2Fsuch`);
    const error = await assertRejects(() => broadcast.connect(), RefusedError);
    assertEquals(
      error.message.replace(/\/\/\S+:/, "//…:"),
      'Cannot connect to amqp://…: the server refuses virtual host "no/such": ' +
        "it does not exist, the user has no access to it, or it has reached its limit of connections",
    );
  });

  Deno.test("amqps: a server whose authority is named is trusted, and no other", async () => {
    const folder = await Deno.makeTempDir();
    const { certificate, key } = await certify(folder);
    const port = freePort();
    await using _server = await start(
      `listeners.ssl.local = 127.0.0.1:${port}\nssl_options.certfile = ${certificate}\n` +
        `ssl_options.keyfile = ${key}`,
    );
    await using broadcast = new Broadcast(`amqps://127.0.0.1:${port}?ca=${certificate}`);
    const subscription = await broadcast.subscribe("chatroom");
    await broadcast.publish("chatroom", "hello");
    assertEquals(await messages(subscription, 1), ["hello"]);
    await using distrustful = new Broadcast(`amqps://127.0.0.1:${port}`);
    await assertRejects(() => distrustful.connect(), Error, "certificate");
    await Deno.remove(folder, { recursive: true });
  });

  Deno.test("amqp: an exchange of another kind is refused", async () => {
    await using broadcast = new Broadcast(`${url}?exchange=amq.fanout`);
    const error = await assertRejects(() => broadcast.connect(), RefusedError);
    assertEquals(error.message.includes("PRECONDITION"), true, error.message);
  });
});

Deno.test("amqp: an address where nobody listens is named", async () => {
  await using broadcast = new Broadcast("amqp://user:s3cret@127.0.0.1:1");
  const error = await assertRejects(() => broadcast.connect(), ConnectionError);
  assertEquals(
    error.message,
    "Cannot connect to amqp://127.0.0.1:1: connect ECONNREFUSED 127.0.0.1:1",
  );
});

Deno.test("amqp: routing keys are the names of channels, but for what is reserved", () => {
  const keys = {
    "chat.room-1.ä 🎉": "chat.room-1.ä 🎉",
    "*": "%2A",
    "a.#.*b.c%": "a.%23.*b.c%25",
    "..": "..",
    "#*": "#*",
  };
  for (const [channel, key] of Object.entries(keys)) {
    assertEquals([keyOf(channel), channelOf(key)], [key, channel]);
  }
  for (const key of ["a.*", "#", "%41", "%"]) assertEquals(channelOf(key), undefined);
});

Deno.test("amqp: patterns are bound by whole words at both ends", () => {
  const bindings = {
    "room.*": "room.#",
    "room*": "#",
    "room.*.end": "room.#.end",
    "a.b*c.*.x.end": "a.#.x.end",
    "*": "#",
    "plain": "plain",
    "*end": "#",
  };
  for (const [pattern, binding] of Object.entries(bindings)) {
    assertEquals(bindingOf(new Pattern(pattern)), binding);
  }
});
