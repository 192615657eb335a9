/** `mqtt()`: its options, and the clients that it refuses. */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import * as mqttModule from "mqtt";
import mqttDefault, { connectAsync } from "mqtt";
import { end } from "../../../backends/mqtt/link.ts";
import { mqtt, type MqttClient } from "../../../backends/mqtt/pubsub.ts";
import { Broadcast, RefusedError } from "../../../mod.ts";
import { messages, take, uniqueChannel } from "../../conformance/harness.ts";
import { withBroker } from "../../services/broker.ts";
import { start } from "../../services/mqtt.ts";
import { Proxy } from "../../services/proxy.ts";
import { state } from "../rig.ts";

const WANTED =
  "Cannot use client: it must be an MqttClient of mqtt, await connectAsync(url, { protocolVersion: 5 }), it is";

/** Methods of a client of another library. */
function having(...names: string[]): object {
  return Object.fromEntries(names.map((name) => [name, () => {}]));
}

const METHODS = ["publish", "subscribe", "unsubscribe", "on", "once", "off"];

/** Values that are no client of mqtt, and their names in the message. */
const WRONG: Record<string, readonly [given: unknown, shown: string]> = {
  "a promise": [Promise.resolve(), "a promise, await it first"],
  "the module": [mqttModule, "the module mqtt, call its connectAsync()"],
  "the default export of the module": [mqttDefault, "the module mqtt, call its connectAsync()"],
  "another module": [await import("../../../core/util/kind.ts"), "a module"],
  "the class": [mqttModule.MqttClient, "a class, call it with new"],
  "null": [null, "null"],
  "a URL": ["mqtt://localhost", "a string"],
  "an empty object": [{}, "an Object without a method publish()"],
  "a client of mqtt 4": [having(...METHODS), "an Object without a method sendPing()"],
  "a client of async-mqtt": [
    { ...having(...METHODS), _client: {} },
    "a client of async-mqtt, give that of mqtt",
  ],
  "a client of Paho": [
    { ...having("publish", "subscribe", "unsubscribe", "send"), onMessageArrived: null },
    "a client of Paho",
  ],
  "a server of aedes": [
    having(...METHODS, "authenticate", "handle"),
    "a server of aedes, give a client",
  ],
};

for (const [kind, [given, shown]] of Object.entries(WRONG)) {
  Deno.test(`mqtt(): ${kind} is refused as a client`, () => {
    const { message } = assertThrows(() => mqtt({ client: given as MqttClient }), TypeError);
    assertEquals(message, `${WANTED} ${shown}`);
  });
}

Deno.test("mqtt(): a URL of another scheme is refused", () => {
  assertThrows(
    () => mqtt({ url: "redis://localhost" }),
    TypeError,
    `Cannot open "redis://localhost": its scheme must be mqtt or mqtts, it is redis`,
  );
});

Deno.test("mqtt(): options are parameters of the URL, which win over options", () => {
  const options = { ca: "ours", cert: "c", key: "k", clientId: "me" };
  const { address } = mqtt({ url: new URL("mqtts://host?ca=theirs"), ...options });
  assertEquals(Object.fromEntries(address.parameters), { ...options, ca: "theirs" });
  assertEquals(String(mqtt().address), "mqtt://");
});

withBroker("mqtt", (url) => {
  Deno.test("mqtt(): events travel between a URL and a client, which is never closed", async () => {
    const channel = uniqueChannel();
    const client = await connectAsync(url, { protocolVersion: 5 });
    {
      await using byUrl = new Broadcast(mqtt({ url }));
      await using byClient = new Broadcast(mqtt({ client }));
      const subscription = await byClient.subscribe(channel);
      await byUrl.publish(channel, "by URL");
      await byClient.publish(channel, "by client");
      assertEquals(await messages(subscription, 2), ["by URL", "by client"]);
    }
    assertEquals(client.connected, true);
    await end(client);
    await using late = new Broadcast(mqtt({ client }));
    await assertRejects(() => late.connect(), RefusedError, "closed");
  });

  Deno.test("mqtt(): a client that is still connecting is waited for", async () => {
    const channel = uniqueChannel();
    const client = mqttDefault.connect(url, { protocolVersion: 5 });
    assertEquals(client.connected, false);
    const broadcast = new Broadcast(mqtt({ client }));
    const subscription = await broadcast.subscribe(channel);
    await broadcast.publish(channel, "hello");
    assertEquals(await messages(subscription, 1), ["hello"]);
    await broadcast.disconnect();
    await end(client);
  });

  Deno.test("mqtt(): what a client loses that reconnects by itself makes a gap", async () => {
    await using server = await start();
    await using proxy = await Proxy.start(server.port);
    await using other = new Broadcast(server.url);
    const client = await connectAsync(`mqtt://127.0.0.1:${proxy.port}`, {
      protocolVersion: 5,
      reconnectPeriod: 100,
    });
    const broadcast = new Broadcast(mqtt({ client }));
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
    const events = await take(subscription, 1);
    assertEquals(
      events.map(({ message, gap }) => [message, gap?.cause]),
      [["after", "disconnect"]],
    );
    await broadcast.disconnect();
    await end(client);
  });

  Deno.test("mqtt(): a client that uses MQTT 3 is refused", async () => {
    const client = await connectAsync(url, { protocolVersion: 4 });
    const { message } = assertThrows(() => mqtt({ client }), TypeError);
    assertEquals(
      message,
      "Cannot use client: it uses MQTT 3, which cannot tell overlapping subscriptions apart, connect it with protocolVersion: 5",
    );
    await end(client);
  });

  Deno.test("mqtt(): options of a connection are refused beside a client", async () => {
    const client = await connectAsync(url, { protocolVersion: 5 });
    for (const option of ["ca", "cert", "key", "clientId"]) {
      assertThrows(
        () => mqtt({ client, [option]: "text" }),
        TypeError,
        `Cannot use parameter "${option}": a client is given, which has its own`,
      );
    }
    await end(client);
  });
});
