/** Headers and keys, as the server and other programs have them. */

import { headers } from "@nats-io/transport-node";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { Broadcast, RefusedError } from "../../../../mod.ts";
import { messages } from "../../../conformance/harness.ts";
import { withBroker } from "../../../services/broker.ts";
import { start } from "../../../services/nats.ts";
import { Proxy } from "../../../services/proxy.ts";
import { Log } from "./stream.ts";

function keys(url: string): void {
  Deno.test("nats-stream: headers are the message's, but for the server's own", async () => {
    await using log = await Log.open(url);
    await using broadcast = new Broadcast(Log.url(url, log.name));
    const subscription = await broadcast.subscribe("x");
    await broadcast.publish("x", "ours", { headers: { trace: "é", B: "" }, idempotencyKey: "k 1" });
    const stored = await log.manager.streams.getMessage(log.name, { seq: 1 });
    const written = Object.fromEntries([...stored!.header].map(([name, [value]]) => [name, value]));
    assertEquals(
      [written.trace, written.B, written["Nats-Msg-Id"]],
      ["é", "", "x k%201"],
    );
    const theirs = headers();
    theirs.append("a", "1");
    theirs.append("a", "2");
    theirs.append("Nats-Msg-Id", "own id");
    theirs.append("(odd)", "ö");
    await log.client.request(`${log.name}.x`, "theirs", { headers: theirs, timeout: 5_000 });
    assertEquals(await messages(subscription, 2), ["ours", "theirs"]);
    const past = await broadcast.history("x");
    assertEquals(past.map(({ headers }) => headers), [
      { trace: "é", B: "" },
      { a: "2", "(odd)": "ö" },
    ]);
  });

  Deno.test("nats-stream: a header that the server acts upon is refused", async () => {
    await using log = await Log.open(url);
    await using broadcast = new Broadcast(Log.url(url, log.name));
    await broadcast.publish("x", "stays");
    const refused = () => broadcast.publish("x", "m", { headers: { "nats-Rollup": "all" } });
    assertEquals(
      (await assertRejects(refused, TypeError)).message,
      'Cannot publish to "x" on nats-stream: header "nats-Rollup" is reserved',
    );
    assertEquals((await broadcast.history("x")).length, 1);
  });

  Deno.test("nats-stream: headers count for what the server takes", async () => {
    await using log = await Log.open(url);
    await using broadcast = new Broadcast(Log.url(url, log.name));
    await broadcast.connect();
    const limit = log.client.info!.max_payload;
    const around = "NATS/1.0\r\na: b\r\n\r\n".length;
    const options = { headers: { a: "b" } };
    await broadcast.publish("x", "x".repeat(limit - around), options);
    assertEquals((await broadcast.history("x"))[0]!.headers, { a: "b" });
    const refused = () => broadcast.publish("x", "x".repeat(limit - around + 1), options);
    assertEquals(
      (await assertRejects(refused, RangeError)).message,
      `Cannot publish to "x": the payload and its headers have ${
        limit + 1
      } bytes, the server takes ${limit}`,
    );
  });

  Deno.test("nats-stream: keys are known as long as the stream's window", async () => {
    await using long = await Log.open(url);
    await using short = await Log.open(url, "&retention=2m");
    const windows = [long, short].map(async ({ manager, name }) =>
      (await manager.streams.info(name)).config.duplicate_window
    );
    assertEquals(await Promise.all(windows), [300e9, 120e9]);
    await using broadcast = new Broadcast(Log.url(url, short.name));
    await broadcast.publish("x", "m", { idempotencyKey: "k" });
    await broadcast.publish("x", "m", { idempotencyKey: "l", idempotencyTtl: 120_000 });
    const refused = () =>
      broadcast.publish("x", "m", { idempotencyKey: "m", idempotencyTtl: 120_001 });
    assertEquals(
      (await assertRejects(refused, RangeError)).message,
      'Cannot publish to "x" on nats-stream: idempotencyTtl is 120001 ms, and the stream knows keys for 120000 ms, its duplicate window',
    );
    await short.manager.streams.update(short.name, { duplicate_window: 200e6 });
    const first = await broadcast.publish("x", "m", { idempotencyKey: "n" });
    let id = first;
    while (id === first) id = await broadcast.publish("x", "m", { idempotencyKey: "n" });
    assertEquals((await broadcast.history("x")).length, 4);
  });

  Deno.test("nats-stream: what the server refuses is not published", async () => {
    await using log = await Log.open(url, "&maxlen=1");
    const { manager, name } = log;
    const { config } = await manager.streams.info(name);
    await using broadcast = new Broadcast(Log.url(url, name));
    await broadcast.publish("x", "first");
    for (
      const [limits, reason] of [
        [{ max_msgs: 1, max_msgs_per_subject: -1, discard: "new" }, "maximum messages exceeded"],
        [{ max_msg_size: 10 }, "message size exceeds maximum allowed"],
        [{ sealed: true }, "invalid operation on sealed stream"],
      ] as const
    ) {
      await manager.streams.update(name, { ...config, ...limits } as typeof config);
      for (const options of [{}, { idempotencyKey: "k" }]) {
        const { message } = await assertRejects(
          () => broadcast.publish("x", "longer than ten bytes", options),
          RefusedError,
        );
        assertEquals(message, `Cannot publish to "x": ${reason}`);
      }
    }
    assertEquals((await broadcast.history("x")).map(({ message }) => message), ["first"]);
  });

  Deno.test("nats-stream: a key whose first message is being stored is asked for again", async () => {
    await using log = await Log.open(url);
    await using proxy = await Proxy.start(Number(new URL(url.replace("nats:", "http:")).port));
    await using broadcast = new Broadcast(Log.url(proxy.url(url), log.name));
    const first = await broadcast.publish("x", "m", { idempotencyKey: "k" });
    // Newer servers say so of replicated streams; the proxy does in their place, twice.
    const answer = '{"error":{"code":409,"err_code":10158},"stream":"","seq":0}';
    let times = 0;
    proxy.rewrite = (chunk) => {
      const said = new TextDecoder("latin1").decode(chunk);
      const told = said.replace(
        /^(MSG \S+ \S+ +)\d+\r\n\{"stream":.*"duplicate": ?true\}/m,
        (all, head) => times++ < 2 ? `${head}${answer.length}\r\n${answer}` : all,
      );
      return Uint8Array.from(told, (letter) => letter.charCodeAt(0));
    };
    assertEquals(await broadcast.publish("x", "m", { idempotencyKey: "k" }), first);
    assertEquals(times, 3);
    assertEquals((await broadcast.history("x")).length, 1);
  });

  Deno.test("nats-stream: a key whose event was removed still stores nothing", async () => {
    await using log = await Log.open(url);
    await using broadcast = new Broadcast(Log.url(url, log.name));
    const first = await broadcast.publish("x", "m", { idempotencyKey: "k" });
    await broadcast.publish("x", "last");
    await log.manager.streams.purge(log.name, { keep: 1 });
    const again = await broadcast.publish("x", "m", { idempotencyKey: "k" });
    const past = await broadcast.history("x");
    assertEquals(past.map(({ message }) => message), ["last"]);
    // Only the place of the removed event is known, which is enough to resume.
    for (const id of [first, again]) {
      const subscription = await broadcast.subscribe("x", { after: id });
      assertEquals(await messages(subscription, 1), ["last"]);
    }
  });

  Deno.test("nats-stream: a server that restarts knows the keys of before", async () => {
    await using server = await start();
    await using broadcast = new Broadcast(server.url.replace("nats:", "nats-stream:"));
    const first = await broadcast.publish("x", "m", { idempotencyKey: "k" });
    await server.restart();
    assertEquals(await broadcast.publish("x", "m", { idempotencyKey: "k" }), first);
    assert((await broadcast.history("x")).length === 1);
  });
}

withBroker("nats", keys);
