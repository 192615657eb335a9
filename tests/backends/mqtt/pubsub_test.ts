import { assertEquals, assertRejects } from "@std/assert";
import mqtt from "mqtt";
import { end } from "../../../backends/mqtt/link.ts";
import { channelOf, topicOf } from "../../../backends/mqtt/topic.ts";
import { Broadcast, RefusedError } from "../../../mod.ts";
import { messages, numbered, take, uniqueChannel } from "../../conformance/harness.ts";
import { withBroker } from "../../services/broker.ts";
import { certify } from "../../services/certificate.ts";
import { start } from "../../services/mqtt.ts";
import { Proxy } from "../../services/proxy.ts";
import { freePort } from "../../services/service.ts";

withBroker("mqtt", (url) => {
  Deno.test("mqtt: other programs share a channel both ways, with the payload alone", async () => {
    const channel = uniqueChannel();
    await using broadcast = new Broadcast(url);
    const subscription = await broadcast.subscribe(channel);
    const stranger = await mqtt.connectAsync(url, { protocolVersion: 4 });
    await stranger.subscribeAsync(channel);
    const heard = new Promise((resolve) =>
      stranger.on("message", (topic, payload) => resolve([topic, String(payload)]))
    );
    await broadcast.publish(channel, "ours");
    assertEquals(await heard, [channel, "ours"]);
    await stranger.publishAsync(channel, "theirs");
    assertEquals(await messages(subscription, 2), ["ours", "theirs"]);
    await end(stranger);
  });

  Deno.test("mqtt: headers are user properties, but for ours", async () => {
    const channel = uniqueChannel();
    await using broadcast = new Broadcast(url);
    const subscription = await broadcast.subscribe(channel);
    const stranger = await mqtt.connectAsync(url, { protocolVersion: 5 });
    await stranger.subscribeAsync(channel);
    const heard = new Promise<unknown>((resolve) =>
      stranger.once(
        "message",
        (_topic, _payload, { properties }) =>
          resolve(Object.entries(properties!.userProperties!).slice(1)),
      )
    );
    await broadcast.publish(channel, "ours", { headers: { trace: "é", b: "" } });
    assertEquals(await heard, [["trace", "é"], ["b", ""]]);
    const userProperties = { "a b": " ", repeated: ["1", "2"], "Broadcaster-x": "y" };
    await stranger.publishAsync(channel, "theirs", { properties: { userProperties } });
    const events = await take(subscription, 2);
    assertEquals(events.map(({ headers }) => headers), [
      { trace: "é", b: "" },
      { "a b": " ", repeated: "2" },
    ]);
    const refused = () => broadcast.publish(channel, "m", { headers: { a: "\uffff" } });
    assertEquals(
      (await assertRejects(refused, TypeError)).message,
      `Cannot publish to "${channel}" on mqtt: header "a" has a noncharacter code point`,
    );
    await end(stranger);
  });

  Deno.test("mqtt: what is retained was published before, and is not delivered", async () => {
    const channel = uniqueChannel();
    const stranger = await mqtt.connectAsync(url, { protocolVersion: 5 });
    await stranger.publishAsync(channel, "old", { retain: true, qos: 1 });
    await using broadcast = new Broadcast(url);
    const subscription = await broadcast.subscribe(channel);
    await broadcast.publish(channel, "new");
    assertEquals(await messages(subscription, 1), ["new"]);
    await stranger.publishAsync(channel, "", { retain: true, qos: 1 });
    await end(stranger);
  });

  Deno.test("mqtt: a wrong password is refused, and never shown", async () => {
    await using server = await start({ user: { name: "me", password: "right" } });
    await using broadcast = new Broadcast(`mqtt://me:s3cret@127.0.0.1:${server.port}`);
    const error = await assertRejects(() => broadcast.connect(), RefusedError);
    assertEquals(
      error.message,
      `Cannot connect to mqtt://127.0.0.1:${server.port}: Connection refused: Not authorized; write the login before the host: mqtt://user:password@host`,
    );
    assertEquals(Deno.inspect(error, { depth: 10 }).includes("s3cret"), false);
    await using right = new Broadcast(`mqtt://me:right@127.0.0.1:${server.port}`);
    await right.connect();
  });

  Deno.test("mqtts: a server whose authority is named is trusted, and no other", async () => {
    const folder = await Deno.makeTempDir();
    const { certificate, key } = await certify(folder);
    const port = freePort();
    const listener = `listener ${port} 127.0.0.1\ncertfile ${certificate}\nkeyfile ${key}`;
    await using _server = await start({ config: listener });
    await using broadcast = new Broadcast(`mqtts://127.0.0.1:${port}?ca=${certificate}`);
    const subscription = await broadcast.subscribe("chatroom");
    await broadcast.publish("chatroom", "hello");
    assertEquals(await messages(subscription, 1), ["hello"]);
    await using distrustful = new Broadcast(`mqtts://127.0.0.1:${port}`);
    await assertRejects(() => distrustful.connect(), Error, "certificate");
    await using nameless = new Broadcast(`mqtts://127.0.0.1:${port}?ca=/no/such/file`);
    await assertRejects(
      () => nameless.connect(),
      Error,
      'parameter "ca" must be the path of a file',
    );
    await Deno.remove(folder, { recursive: true });
  });

  Deno.test("mqtt: what the server drops for a slow reader is counted exactly", async () => {
    await using server = await start({ config: "max_queued_messages 10\nmax_inflight_messages 5" });
    await using proxy = await Proxy.start(server.port);
    await using slow = new Broadcast(`mqtt://127.0.0.1:${proxy.port}?probe=0`);
    await using quick = new Broadcast(server.url);
    const channel = uniqueChannel();
    const subscription = await slow.subscribe(channel);
    await quick.publish(channel, "first");
    assertEquals(await messages(subscription, 1), ["first"]);
    proxy.stall();
    await Promise.all(numbered(500).map((message) => quick.publish(channel, message)));
    proxy.resume();
    let published = 500;
    let received = 0;
    let missed = 0;
    for (let last = ""; !last.startsWith("last");) {
      // What was queued comes first; what comes once there is room again tells of the hole.
      await quick.publish(channel, `last ${published++}`);
      const [event] = await take(subscription, 1);
      last = String(event!.message);
      received++;
      if (event!.gap) assertEquals(event!.gap.cause, "unknown");
      missed += event!.gap?.missed ?? 0;
      if (last.startsWith("last")) published = Number(last.slice(5)) + 1;
    }
    assertEquals([received < 100, received + missed], [true, published]);
  });
});

Deno.test("mqtt: topics are the names of channels, but for what is reserved", () => {
  const topics = {
    "chat/room-1.ä 🎉": "chat/room-1.ä 🎉",
    "a+b#c%d": "a%2Bb%23c%25d",
    "$SYS/a$": "%24SYS/a$",
    "\0\n": "%00%0A",
    "\uffff\u{1fffe}": "%EF%BF%BF%F0%9F%BF%BE",
    "//": "//",
  };
  for (const [channel, topic] of Object.entries(topics)) {
    assertEquals([topicOf(channel), channelOf(topic)], [topic, channel]);
  }
  // What no channel has.
  for (const topic of ["$SYS/a", "%zz", "%2b", "%E4", "%41"]) {
    assertEquals(channelOf(topic), undefined);
  }
});
