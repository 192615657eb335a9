/** What MQTT servers answer, what they close connections for, and URLs as providers have them. */

import process from "node:process";
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import mqtt from "mqtt";
import { end } from "../../../backends/mqtt/link.ts";
import { mqtt as factory } from "../../../backends/mqtt/pubsub.ts";
import {
  Broadcast,
  ConnectionError,
  type GapEvent,
  OutcomeUnknownError,
  RefusedError,
  type StateChangeEvent,
} from "../../../mod.ts";
import { messages, take, uniqueChannel } from "../../conformance/harness.ts";
import { withBroker } from "../../services/broker.ts";
import { certify } from "../../services/certificate.ts";
import { start } from "../../services/mqtt.ts";
import { Proxy } from "../../services/proxy.ts";
import { until } from "../../services/service.ts";
import { TlsProxy } from "../../services/tls_proxy.ts";

/** The state `reconnecting`, with its reason. */
function lossOf(broadcast: Broadcast): Promise<StateChangeEvent> {
  return new Promise((resolve) =>
    broadcast.addEventListener("statechange", (event) => {
      if (event.state === "reconnecting") resolve(event);
    })
  );
}

/** A proxy that changes the first packet of a type that the server sends. */
async function altering(
  port: number,
  type: number,
  alter: (packet: Uint8Array) => number[],
): Promise<Proxy> {
  const proxy = await Proxy.start(port);
  let isDone = false;
  proxy.rewrite = (chunk) => {
    if (isDone || chunk[0] !== type) return chunk;
    isDone = true;
    const length = 2 + chunk[1]!;
    return new Uint8Array([...alter(chunk.slice(0, length)), ...chunk.slice(length)]);
  };
  return proxy;
}

/** The acknowledgement of a message, with a reason code. */
function puback(reason: number): (packet: Uint8Array) => number[] {
  return ([type, , ...rest]) => [type!, 3, ...rest.slice(0, 2), reason];
}

withBroker("mqtt", (url) => {
  const { port } = new URL(url);

  Deno.test("mqtt: a message over the limit of the server is refused, and nothing is delivered wrongly", async () => {
    await using server = await start({ config: "message_size_limit 1000" });
    await using broadcast = new Broadcast(server.url);
    const subscription = await broadcast.subscribe("chat");
    const told = new Promise<GapEvent>((resolve) => broadcast.addEventListener("gap", resolve));
    const [before, large, after] = await Promise.allSettled([
      broadcast.publish("chat", "before"),
      broadcast.publish("chat", "x".repeat(2_000)),
      broadcast.publish("chat", "after"),
    ]);
    assertEquals(before!.status, "fulfilled");
    const { reason } = large as PromiseRejectedResult;
    assertEquals(reason.constructor, RefusedError);
    assert(reason.message.includes("refuses the message, perhaps as too large"), reason.message);
    if (after!.status === "rejected") assert(after.reason instanceof OutcomeUnknownError);
    assertEquals((await told).gap.cause, "disconnect");
    await broadcast.publish("chat", "again");
    const heard: string[] = [];
    for await (const { message } of subscription.values({ preventCancel: true })) {
      heard.push(message);
      if (message === "again") break;
    }
    // What came in the same read as the answer that was not readable may be in the gap.
    assertEquals(heard.filter((message) => !/^(before|after|again)$/.test(message)), []);
  });

  Deno.test("mqtt: a server that confirms nothing is refused with the reason, also under a client of the user's", async () => {
    await using server = await start({ config: "max_qos 0" });
    await using broadcast = new Broadcast(server.url);
    await assertRejects(() => broadcast.connect(), RefusedError, "QoS 0 only");
    const client = await mqtt.connectAsync(server.url, { protocolVersion: 5 });
    await using borrowing = new Broadcast(factory({ client }));
    await assertRejects(() => borrowing.connect(), RefusedError, "QoS 0 only");
    await end(client);
  });

  Deno.test("mqtt: statechange has the reason when a client with the same identifier takes over", async () => {
    const clientId = uniqueChannel();
    await using broadcast = new Broadcast(`${url}?clientId=${clientId}`);
    await broadcast.subscribe(clientId);
    const lost = lossOf(broadcast);
    const other = await mqtt.connectAsync(url, {
      protocolVersion: 5,
      clientId,
      reconnectPeriod: 0,
    });
    const { error } = await lost;
    assert((error as Error).message.includes(`the identifier "${clientId}"`), String(error));
    await end(other);
  });

  Deno.test("mqtt: statechange has the reason that a server gives in DISCONNECT", async () => {
    const channel = uniqueChannel();
    await using proxy = await altering(Number(port), 0x40, () => [0xe0, 2, 0x8e, 0]);
    // What has no subscription learns of it at its next probe, or when it publishes.
    await using broadcast = new Broadcast(`${proxy.url(url)}?probe=500ms`);
    await broadcast.connect();
    const lost = lossOf(broadcast);
    const unknown = await assertRejects(() => broadcast.publish(channel, "m"), OutcomeUnknownError);
    assert(unknown.message.includes("may or may not be published"), unknown.message);
    const { error } = await lost;
    assert((error as Error).message.includes("Session taken over"), String(error));
  });

  Deno.test("mqtt: a gap is told once the server has confirmed: what is published then arrives", async () => {
    const channel = uniqueChannel();
    await using proxy = await Proxy.start(Number(port));
    await using broadcast = new Broadcast(proxy.url(url));
    await using other = new Broadcast(url);
    await other.connect();
    for (let round = 0; round < 5; round++) {
      const told = Promise.withResolvers<void>();
      const published = told.promise.then(() => other.publish(channel, `${round}`));
      await using subscription = await broadcast.subscribe(channel, {
        onGap: () => told.resolve(),
      });
      const event = take(subscription, 1);
      proxy.cut();
      await published;
      assertEquals((await event)[0]!.message, `${round}`);
    }
  });

  Deno.test("mqtt: a client that is closed before each attempt to connect keeps no listeners", async () => {
    await using proxy = await Proxy.start(Number(port));
    const backend = await factory({ url: proxy.url(url) }).open();
    await backend.connect!();
    proxy.refuse();
    proxy.cut();
    await until(() => !backend.connected, "Cannot cut the connection");
    const warned: Error[] = [];
    const warn = (warning: Error) => void warned.push(warning);
    process.on("warning", warn);
    for (let attempts = 0; attempts < 12; attempts++) await assertRejects(() => backend.connect!());
    process.off("warning", warn);
    assertEquals(warned, []);
    await backend.close();
  });

  Deno.test("mqtt: a quota that is exceeded is tried again, a right that is missing is refused", async () => {
    const channel = uniqueChannel();
    {
      await using proxy = await altering(Number(port), 0x40, puback(0x97));
      await using broadcast = new Broadcast(proxy.url(url));
      await broadcast.publish(channel, "later");
      assertEquals(broadcast.state, "connected");
    }
    await using proxy = await altering(Number(port), 0x40, puback(0x87));
    await using broadcast = new Broadcast(proxy.url(url));
    const error = await assertRejects(() => broadcast.publish(channel, "no"), RefusedError);
    assert(error.message.includes("Not authorized"), error.message);
    await broadcast.publish(channel, "yes");
  });

  Deno.test("mqtt: servers without subscription identifiers take channels, and refuse patterns", async () => {
    const channel = uniqueChannel();
    await using proxy = await altering(
      Number(port),
      0x20,
      ([type, length, flags, code, ...rest]) => [
        ...[type!, length! + 2, flags!, code!, rest[0]! + 2],
        ...[0x29, 0, ...rest.slice(1)],
      ],
    );
    await using broadcast = new Broadcast(proxy.url(url));
    const subscription = await broadcast.subscribe(channel);
    await broadcast.publish(channel, "hello");
    assertEquals(await messages(subscription, 1), ["hello"]);
    await assertRejects(
      () => broadcast.subscribe({ pattern: `${channel}*` }),
      RefusedError,
      "no subscription identifiers",
    );
  });

  Deno.test("mqtt: parameters of other clients have their meaning", async () => {
    const channel = uniqueChannel();
    await using broadcast = new Broadcast(
      `${url}?clean=true&protocolVersion=5&keepalive=30&clientId=${channel}&reconnectPeriod=1000`,
    );
    const subscription = await broadcast.subscribe(channel);
    await broadcast.publish(channel, "hello");
    assertEquals(await messages(subscription, 1), ["hello"]);
    const refused = {
      "clean=false": "true: no server keeps a session",
      "protocolVersion=4": "5: MQTT 3 cannot tell",
      "keepalive=often": "a whole number of at least 0",
    };
    for (const [parameter, expected] of Object.entries(refused)) {
      await using other = new Broadcast(`${url}?${parameter}`);
      await assertRejects(() => other.connect(), TypeError, expected);
    }
  });

  Deno.test("mqtt: TLS checks the host as it is written, and names the way out of each mistake", async () => {
    const folder = await Deno.makeTempDir();
    const { certificate, key } = await certify(folder, "DNS:localhost");
    await using secure = await TlsProxy.start(Number(port), certificate, key);
    const refusals = {
      [`mqtts://localhost:${secure.port}`]: "?ca=",
      [`mqtts://127.0.0.1:${secure.port}?ca=${certificate}`]: "use a host that it names",
      [`mqtt://127.0.0.1:${secure.port}?connectTimeout=2000`]: "use mqtts:// (port 8883)",
      [`mqtts://127.0.0.1:${port}`]: "use mqtt:// (port 1883)",
    };
    for (const [address, expected] of Object.entries(refusals)) {
      await using broadcast = new Broadcast(address);
      const error = await assertRejects(() => broadcast.connect(), ConnectionError);
      assert(error.message.includes(expected), `${address}: ${error.message}`);
    }
    const accepted = [
      `mqtts://localhost:${secure.port}?ca=${certificate}`,
      `mqtts://127.0.0.1:${secure.port}?rejectUnauthorized=false`,
    ];
    for (const address of accepted) {
      await using broadcast = new Broadcast(address);
      await broadcast.publish("tls", "hello");
    }
    await Deno.remove(folder, { recursive: true });
  });
});

Deno.test("mqtt: URLs of providers are accepted, those of other transports say what to do", () => {
  for (
    const url of [
      "mqtts://user:secret@1234.s1.eu.hivemq.cloud:8883",
      "mqtt://broker.emqx.io:1883",
      "mqtts://1234-ats.iot.eu-west-1.amazonaws.com:8883?ca=r.pem&cert=c.pem&key=k.pem&clientId=a",
      "mqtt://localhost/?clean=true",
    ]
  ) new Broadcast(url);
  for (const url of ["ws://localhost:8083/mqtt", "wss://localhost:8084/mqtt"]) {
    assertThrows(() => new Broadcast(url), TypeError, "mqtt({ client })");
  }
  for (const url of ["tcp://localhost:1883", "ssl://localhost:8883"]) {
    assertThrows(() => new Broadcast(url), TypeError, /^ssl/.test(url) ? "mqtts://" : "mqtt://");
  }
});
