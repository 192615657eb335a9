/** URLs of AMQP as providers and other clients have them. */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { connect } from "amqplib";
import { wishesOf } from "../../../backends/amqp/parameters.ts";
import { Address } from "../../../core/backend/address.ts";
import { Broadcast, ConnectionError, RefusedError } from "../../../mod.ts";
import { messages, uniqueChannel } from "../../conformance/harness.ts";
import { withBroker } from "../../services/broker.ts";
import { certify } from "../../services/certificate.ts";
import { TlsProxy } from "../../services/tls_proxy.ts";
import { removeStreams } from "./log/remove.ts";

const STANDARD = {
  ...{ heartbeat: undefined, frameMax: undefined, channelMax: undefined },
  ...{ connectTimeout: undefined, vhost: "/", mechanism: "plain", isVerified: true },
  servername: undefined,
};

/** URLs, and what differs from the standard. */
const URLS: Record<string, Partial<Record<keyof typeof STANDARD, unknown>>> = {
  "amqp://localhost": {},
  "amqp://localhost/": {},
  "amqp://localhost/%2f": {},
  "amqp://localhost/%2F?heartbeat=30": { heartbeat: 30 },
  "amqp://localhost/chat?heartbeat=0&frameMax=8192&channelMax=100": {
    ...{ vhost: "chat", heartbeat: 0, frameMax: 8_192, channelMax: 100 },
  },
  "amqp://localhost?frame_max=131072&channel_max=0&connection_timeout=5000": {
    ...{ frameMax: 131_072, channelMax: 0, connectTimeout: 5_000 },
  },
  "amqp://localhost?vhost=chat": { vhost: "chat" },
  "amqps://user:secret@bunny.rmq.cloudamqp.com/user": { vhost: "user" },
  "amqps://b-1234.mq.us-east-1.amazonaws.com:5671": {},
  "amqps://localhost?auth_mechanism=EXTERNAL&verify=verify_none": {
    ...{ mechanism: "external", isVerified: false },
  },
  "amqps://localhost?verify=verify_peer&server_name_indication=rabbit.example": {
    servername: "rabbit.example",
  },
};

Deno.test("amqp: parameters of providers and of other clients have their meaning", () => {
  for (const [url, wishes] of Object.entries(URLS)) {
    assertEquals([url, wishesOf(new Address(url))], [url, { ...STANDARD, ...wishes }]);
    // Accepted by both schemes.
    new Broadcast(url);
    new Broadcast(url.replace(/^amqps?/, "$&-stream"));
  }
});

Deno.test("amqp: files of TLS have the names of RabbitMQ's URLs, too", () => {
  const address = new Address("amqps://localhost?cacertfile=ca.pem&certfile=c.pem&keyfile=k.pem");
  wishesOf(address);
  assertEquals(
    ["ca", "cert", "key"].map((name) => address.parameters.get(name)),
    ["ca.pem", "c.pem", "k.pem"],
  );
});

Deno.test("amqp: what means nothing here is ignored, anything else names the nearest", () => {
  new Broadcast("amqp://localhost?locale=en_US&connection_attempts=3&retry_delay=5");
  assertThrows(
    () => new Broadcast("amqp://localhost?heart_beat=30"),
    TypeError,
    'did you mean "heartbeat"?',
  );
  assertThrows(() => new Broadcast("amqp://localhost?depth=3"), TypeError, "known parameters are");
});

Deno.test("amqp: values that cannot be used are refused with what they must be", async () => {
  const values = {
    "heartbeat=often": "a whole number of at least 0",
    "frameMax=100": "a whole number of at least 4096",
    "verify=maybe": "one of verify_peer, verify_none",
    "auth_mechanism=gssapi": "one of plain, amqplain, external",
  };
  for (const [parameter, expected] of Object.entries(values)) {
    await using broadcast = new Broadcast(`amqp://127.0.0.1:1?${parameter}`);
    await assertRejects(() => broadcast.connect(), TypeError, expected);
  }
  await using broadcast = new Broadcast("amqp://127.0.0.1:1/one?vhost=two");
  await assertRejects(() => broadcast.connect(), TypeError, 'the virtual host of the path, "one"');
});

withBroker("amqp", (url) => {
  Deno.test("amqp: heartbeat, frameMax and channelMax reach the server", async () => {
    const channel = uniqueChannel();
    await using broadcast = new Broadcast(`${url}/%2f?heartbeat=30&frameMax=8192&channelMax=20`);
    const subscription = await broadcast.subscribe(channel);
    await assertRejects(
      () => broadcast.publish(channel, "no", { headers: { h: "x".repeat(7_940) } }),
      RefusedError,
      "a frame of this connection has room for 7936",
    );
    await broadcast.publish(channel, "hello");
    assertEquals(await messages(subscription, 1), ["hello"]);
  });

  Deno.test("amqps: against the plain port, the error names it", async () => {
    const { host } = new URL(url);
    await using broadcast = new Broadcast(`amqps://${host}`);
    await assertRejects(() => broadcast.connect(), ConnectionError, "use amqp:// (port 5672)");
  });

  Deno.test("amqp-stream: create=false refuses a channel without a stream, and uses one that exists", async () => {
    const [missing, present] = [uniqueChannel(), uniqueChannel()];
    const scheme = url.replace(/^amqp/, "amqp-stream");
    await using maker = new Broadcast(scheme);
    await maker.publish(present, "hello");
    await using broadcast = new Broadcast(`${scheme}?create=false`);
    const reason = "does not exist, and the parameter create is false";
    await assertRejects(() => broadcast.subscribe(missing), RefusedError, reason);
    await assertRejects(() => broadcast.publish(missing, "no"), RefusedError, reason);
    await assertRejects(() => broadcast.history(missing), RefusedError, reason);
    assertEquals((await broadcast.history(present)).map(({ message }) => message), ["hello"]);
    assertEquals(await exists(url, missing), false);
    await removeStreams(url, [present]);
  });

  Deno.test("amqp-stream: a process creates no more streams than maxStreams", async () => {
    const channels = [uniqueChannel(), uniqueChannel(), uniqueChannel()];
    const scheme = url.replace(/^amqp/, "amqp-stream");
    await using broadcast = new Broadcast(`${scheme}?maxStreams=2`);
    for (const channel of channels.slice(0, 2)) await broadcast.publish(channel, "hello");
    await assertRejects(
      () => broadcast.subscribe(channels[2]!),
      RefusedError,
      "this process has created 2, see ?maxStreams=",
    );
    assertEquals(await exists(url, channels[2]!), false);
    // Those that others have made are used.
    await using other = new Broadcast(scheme);
    await other.publish(channels[2]!, "hello");
    assertEquals((await broadcast.history(channels[2]!)).length, 1);
    await removeStreams(url, channels);
  });

  Deno.test("amqp: TLS checks the host as it is written, and names the way out of each mistake", async () => {
    const folder = await Deno.makeTempDir();
    const plain = new URL(url).port;
    const { certificate, key } = await certify(folder, "DNS:localhost");
    await using secure = await TlsProxy.start(Number(plain), certificate, key);
    const { port } = secure;
    const refusals = {
      [`amqps://localhost:${port}`]: "?ca=",
      [`amqps://127.0.0.1:${port}?ca=${certificate}`]: "use a host that it names",
      [`amqp://127.0.0.1:${port}`]: "if the port is for TLS, use amqps:// (port 5671)",
      [`amqps://127.0.0.1:${plain}`]: "use amqp:// (port 5672)",
    };
    for (const [address, expected] of Object.entries(refusals)) {
      await using broadcast = new Broadcast(address);
      const error = await assertRejects(() => broadcast.connect(), ConnectionError);
      assert(error.message.includes(expected), `${address}: ${error.message}`);
    }
    const accepted = [
      `amqps://localhost:${port}?ca=${certificate}`,
      `amqps://localhost:${port}?cacertfile=${certificate}&verify=verify_peer`,
      `amqps://127.0.0.1:${port}?ca=${certificate}&server_name_indication=localhost`,
      `amqps://127.0.0.1:${port}?verify=verify_none`,
    ];
    for (const address of accepted) {
      await using broadcast = new Broadcast(address);
      await broadcast.publish("tls", "hello");
    }
    await Deno.remove(folder, { recursive: true });
  });
});

async function exists(url: string, queue: string): Promise<boolean> {
  const client = await connect(url);
  try {
    const lane = await client.createChannel();
    lane.on("error", () => {});
    return await lane.checkQueue(queue).then(() => true, () => false);
  } finally {
    await client.close();
  }
}
