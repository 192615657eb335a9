/** What other programs store in the stream, and streams that other programs made. */

import { once } from "node:events";
import { connect as dial } from "node:net";
import { headers, type Msg } from "@nats-io/transport-node";
import { assertEquals, assertRejects } from "@std/assert";
import { Broadcast, RefusedError } from "../../../../mod.ts";
import { messages, take, uniqueChannel } from "../../../conformance/harness.ts";
import { withBroker } from "../../../services/broker.ts";
import { start } from "../../../services/nats.ts";
import { Log } from "./stream.ts";

/** Headers that the client throws at, or that look like a status. */
const GARBAGE = [
  "NATS/1.0\r\nno colon\r\nbad name: x\r\n\r\n",
  "NATS/1.0\r\n: empty name\r\nbad\nvalue: x\r\n\r\n",
  "NATS/1.0 404 No Messages\r\n\r\n",
  "NATS/1.0 503\r\nbroadcaster-sequence: 1\r\nNats-Time-Stamp: never\r\n\r\n",
];

/** Publishes with headers as they are given, which no client would send. */
async function sendRaw(url: string, subject: string, given: readonly string[]): Promise<void> {
  const socket = dial(Number(new URL(url).port), "127.0.0.1");
  await once(socket, "data");
  let commands = 'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\n';
  for (const [index, header] of given.entries()) {
    const payload = `payload ${index}`;
    commands += `HPUB ${subject} ${header.length} ${header.length + payload.length}\r\n`;
    commands += `${header}${payload}\r\n`;
  }
  socket.end(`${commands}PING\r\n`);
  await once(socket, "data");
  socket.destroy();
}

const PAYLOADS = GARBAGE.map((_, index) => `payload ${index}`);

function strangers(url: string): void {
  Deno.test("nats: messages with headers that no client can read are delivered", async () => {
    await using broadcast = new Broadcast(url);
    const channel = uniqueChannel();
    const subscription = await broadcast.subscribe(channel);
    await sendRaw(url, channel, GARBAGE);
    assertEquals(await messages(subscription, PAYLOADS.length), PAYLOADS);
    await broadcast.publish(channel, "after");
    assertEquals(await messages(subscription, 1), ["after"]);
  });

  Deno.test("nats-stream: messages with headers that no client can read are delivered", async () => {
    await using log = await Log.open(url);
    await using broadcast = new Broadcast(Log.url(url, log.name));
    const subscription = await broadcast.subscribe("x");
    await broadcast.publish("x", "before");
    await sendRaw(url, `${log.name}.x`, GARBAGE);
    await broadcast.publish("x", "after");
    const expected = ["before", ...PAYLOADS, "after"];
    const live = await take(subscription, expected.length);
    assertEquals(
      live.map(({ message, gap }) => [message, gap]),
      expected.map((m) => [m, undefined]),
    );
    // Also in the past, where one of them looks as if it was the end of a page.
    assertEquals((await broadcast.history("x")).map(({ message }) => message), expected);
    const again = await broadcast.subscribe("x", { after: live[0]!.id });
    assertEquals(await messages(again, expected.length - 1), expected.slice(1));
    const all = await broadcast.subscribe({ pattern: "*" }, { history: expected.length });
    assertEquals(await messages(all, expected.length), expected);
  });

  Deno.test("nats-stream: whoever else answers a publish is not believed", async () => {
    await using log = await Log.open(url);
    for (const answer of ["+OK", "null", '{"seq":7}', '{"stream":"other","seq":7}']) {
      const callback = (_: unknown, message: Msg) => void message.respond(answer);
      log.client.subscribe(`${log.name}.x`, { callback });
    }
    await log.client.flush();
    await using broadcast = new Broadcast(Log.url(url, log.name));
    const id = await broadcast.publish("x", "hello");
    assertEquals((await broadcast.history("x")).map((event) => event.id), [id]);
  });

  Deno.test("nats-stream: a stream that cannot hold channels is refused in words", async () => {
    await using log = await Log.open(url);
    const name = uniqueChannel();
    const own = {
      name,
      subjects: [`${name}.>`],
      republish: { src: `${name}.>`, dest: `${name}-live.>` },
    };
    const wrong: [Record<string, unknown>, string][] = [
      [{ subjects: [`${name}.a`] }, `it must have the subject "${name}.>"`],
      [{ republish: undefined }, "republish it to"],
      [{ republish: { ...own.republish, "headers_only": true } }, "it republishes headers only"],
      [{ retention: "workqueue" }, 'its retention is "workqueue", not "limits"'],
      [{ retention: "interest" }, 'its retention is "interest", not "limits"'],
      [{ "no_ack": true }, "it does not acknowledge messages (no_ack)"],
      [
        { subjects: undefined, republish: undefined, mirror: { name: log.name } },
        "not one of ours",
      ],
    ];
    for (const [settings, words] of wrong) {
      await log.manager.streams.add({ ...own, ...settings });
      await using broadcast = new Broadcast(Log.url(url, name));
      const error = await assertRejects(() => broadcast.connect(), RefusedError, words);
      assertEquals(error.message.includes("?stream="), true);
      await log.manager.streams.delete(name);
    }
  });

  Deno.test("nats-stream: a stream with limits of its own is used, and refuses in words", async () => {
    await using log = await Log.open(url);
    const name = uniqueChannel();
    await log.manager.streams.add({
      name,
      subjects: [`${name}.>`, `${name}-too`],
      republish: { src: `${name}.>`, dest: `${name}-live.>` },
      sources: [{ name: log.name }],
      discard: "new",
      "max_msgs": 4,
      "max_msg_size": 1_000,
      "deny_delete": true,
      "allow_direct": false,
    } as never);
    await using broadcast = new Broadcast(`${Log.url(url, name)}&timeout=2s`);
    const subscription = await broadcast.subscribe("x");
    await broadcast.publish("x", "a");
    await assertRejects(
      () => broadcast.publish("x", "large".repeat(300)),
      RefusedError,
      "message size exceeds maximum allowed",
    );
    // Messages of other subjects belong to no channel.
    await log.client.request(`${name}-too`, "no channel");
    await log.client.request(`${log.name}.x`, "of the source");
    await broadcast.publish("x", "b");
    assertEquals(await messages(subscription, 2), ["a", "b"]);
    await assertRejects(
      async () => {
        for (const message of ["c", "d", "e"]) await broadcast.publish("x", message);
      },
      RefusedError,
      "maximum messages exceeded",
    );
    await log.manager.streams.update(name, { sealed: true } as never);
    await assertRejects(() => broadcast.publish("x", "f"), RefusedError, "sealed stream");
    assertEquals((await broadcast.history("x")).map(({ message }) => message).slice(0, 2), [
      "a",
      "b",
    ]);
    await log.manager.streams.delete(name);
  });

  Deno.test("nats-stream: a stream that was deleted takes the next message once it is there again", async () => {
    await using log = await Log.open(url, "&storage=memory");
    await using broadcast = new Broadcast(`${Log.url(url, log.name)}&storage=memory`);
    await broadcast.publish("x", "before");
    await log.manager.streams.delete(log.name);
    const ids = await Promise.all([broadcast.publish("x", "a"), broadcast.publish("x", "b")]);
    const events = await broadcast.history("x");
    assertEquals(events.map(({ message }) => message), ["a", "b"]);
    assertEquals<unknown>(events.map(({ id }) => id), ids);
  });

  Deno.test("nats-stream: a stream that may not be created again is a refusal, not an unknown outcome", async () => {
    await using server = await start({
      config: `authorization { users = [ { user: root, password: root },
        { user: app, password: app, permissions: {
          publish: { deny: ["$JS.API.STREAM.CREATE.>"] } } } ] }`,
    });
    const at = (user: string) => `nats://${user}:${user}@127.0.0.1:${server.port}`;
    const name = uniqueChannel();
    await using owner = new Broadcast(
      `${at("root").replace("nats", "nats-stream")}?stream=${name}`,
    );
    await owner.publish("x", "before");
    await owner.disconnect();
    await using broadcast = new Broadcast(
      `${at("app").replace("nats", "nats-stream")}?stream=${name}&timeout=5s`,
    );
    await broadcast.publish("x", "allowed");
    await using log = await Log.open(at("root"), "");
    await log.manager.streams.delete(name);
    await assertRejects(() => broadcast.publish("x", "a"), RefusedError, "Permissions Violation");
  });

  Deno.test("nats-stream: a stream that lost its end is noticed by a message that follows too early a one", async () => {
    await using server = await start({
      config: `authorization { users = [ { user: root, password: root },
        { user: app, password: app, permissions: { subscribe: { deny: ["$JS.EVENT.>"] } } } ] }`,
    });
    await using log = await Log.open(
      `nats://root:root@127.0.0.1:${server.port}`,
      "&storage=memory",
    );
    const url = Log.url(`nats://app:app@127.0.0.1:${server.port}`, log.name);
    for (const before of [["x"], []]) {
      // Without a right to hear of the stream, only messages tell.
      await using broadcast = new Broadcast(url);
      const subscription = await broadcast.subscribe("x");
      const send = (channel: string, text: string) =>
        log.client.request(`${log.name}.${channel}`, text);
      await send("x", "a");
      await send("x", "b");
      assertEquals(await messages(subscription, 2), ["a", "b"]);
      await log.recreate();
      // The new stream gets past the old one, with nothing of the channel, or too little.
      for (const channel of [...before, ...Array(9).fill("y")]) await send(channel, "elsewhere");
      await send("x", "c");
      const events = await take(subscription, before.length + 1);
      assertEquals(events.map(({ message, gap }) => [message, gap?.cause]), [
        ...before.map(() => ["elsewhere", "reset"]),
        ["c", before.length > 0 ? undefined : "reset"],
      ]);
    }
  });

  Deno.test("nats-stream: a channel whose seen messages were removed has lost nothing", async () => {
    await using log = await Log.open(url);
    await using broadcast = new Broadcast(Log.url(url, log.name));
    const subscription = await broadcast.subscribe("x");
    for (const message of ["a", "b"]) await broadcast.publish("x", message);
    assertEquals(await messages(subscription, 2), ["a", "b"]);
    for (const filter of [`${log.name}.x`, undefined]) {
      await broadcast.publish("y", "elsewhere");
      await log.manager.streams.purge(log.name, filter ? { filter } : undefined);
      await broadcast.publish("y", "elsewhere");
      const marked = headers();
      marked.set("of", "another program");
      await log.client.request(`${log.name}.x`, "c", { headers: marked, timeout: 5_000 });
      const [event] = await take(subscription, 1);
      assertEquals([event!.message, event!.gap], ["c", undefined]);
    }
  });
}

withBroker("nats", strangers);
