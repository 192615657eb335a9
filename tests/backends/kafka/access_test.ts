/** Servers, clients, users and passwords. */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import kafkajs, * as kafkajsModule from "kafkajs";
import { kafka } from "../../../backends/kafka/log.ts";
import { Broadcast, ConnectionError, RefusedError } from "../../../mod.ts";
import { messages, uniqueChannel, within } from "../../conformance/harness.ts";
import { withBroker } from "../../services/broker.ts";
import { start } from "../../services/kafka.ts";
import { Proxy } from "../../services/proxy.ts";
import { Outsider, registrar } from "./outsider.ts";
import { silent } from "./silent.ts";

/** Cases on access. */
function access(url: string): void {
  const test = registrar(url);

  test("several servers in the URL, of which the first is dead", async () => {
    const { host } = new URL(url);
    await using broadcast = new Broadcast(`kafka://127.0.0.1:1,${host}`);
    const channel = uniqueChannel();
    const subscription = await broadcast.subscribe(channel);
    await broadcast.publish(channel, "hello");
    assertEquals(await messages(subscription, 1), ["hello"]);
  });

  test("servers of which none is there are named", async () => {
    await using broadcast = new Broadcast("kafka://user:s3cret@127.0.0.1:1,127.0.0.1:2");
    const error = await assertRejects(() => broadcast.subscribe("chatroom"), ConnectionError);
    assertEquals(
      error.message,
      "Cannot connect to kafka://127.0.0.1:1,127.0.0.1:2: Connection error: connect ECONNREFUSED 127.0.0.1:2",
    );
    assertEquals(Deno.inspect(error, { depth: 10 }).includes("s3cret"), false);
  });

  test("a server that accepts and never answers is given up", async () => {
    await using proxy = await Proxy.start(Number(new URL(url).port));
    proxy.stall();
    await using broadcast = new Broadcast(proxy.url(url));
    const error = await assertRejects(() => broadcast.connect(), ConnectionError);
    assertEquals(
      error.message,
      `Cannot connect to kafka://127.0.0.1:${proxy.port}: 127.0.0.1:${proxy.port} did not answer within 3 s: perhaps it is no Kafka server, or the port is for TLS`,
    );
  });

  test("a client of the user is used and never closed", async (outsider) => {
    const channel = uniqueChannel();
    const admin = await outsider.admin();
    const broadcast = new Broadcast(kafka({ client: outsider.kafka }));
    const subscription = await broadcast.subscribe(channel);
    await outsider.publish(channel, [{ value: "from the client" }]);
    await broadcast.publish(channel, "from the broadcast");
    assertEquals(await messages(subscription, 2), ["from the client", "from the broadcast"]);
    await broadcast.disconnect();
    assert((await admin.listTopics()).includes(channel));
    await outsider.publish(channel, [{ value: "still here" }]);
  });

  test("the options of the factory count, also with a client", async (outsider) => {
    const channel = uniqueChannel();
    for (const options of [{ url, create: false }, { client: outsider.kafka, create: false }]) {
      await using broadcast = new Broadcast(kafka(options));
      const { message } = await assertRejects(() => broadcast.subscribe(channel), RefusedError);
      assertEquals(
        message,
        `Cannot subscribe to "${channel}": there is no topic "${channel}", and create=false`,
      );
    }
    await using broadcast = new Broadcast(kafka({ url, clientId: "tests" }));
    const subscription = await broadcast.subscribe(channel);
    await broadcast.publish(channel, "hello");
    assertEquals(await messages(subscription, 1), ["hello"]);
  });

  Deno.test("kafka: every option of the factory is a parameter of the URL, which wins", () => {
    const options = {
      ...{ sasl: "scram-sha-256" as const, tls: true, ca: "a", cert: "b", key: "c" },
      ...{ clientId: "d", create: false, replication: 3 },
    } as const;
    const { address } = kafka({ url: "kafka://user:s3cret@host?clientId=url", ...options });
    assertEquals(Object.fromEntries(address.parameters), {
      ...{ sasl: "scram-sha-256", tls: "true", ca: "a", cert: "b", key: "c" },
      ...{ clientId: "url", create: "false", replication: "3" },
    });
    assertEquals(`${kafka().address}`, "kafka://");
    assertThrows(() => kafka({ url: "redis://host" }), TypeError);
  });

  Deno.test("kafka: a client that is not one of kafkajs is a TypeError at once, by its name", () => {
    const client = new kafkajs.Kafka({ brokers: ["127.0.0.1:1"] });
    const methods = { producer() {}, consumer() {}, admin() {} };
    const wrong: [unknown, string][] = [
      [{}, "an Object without a method producer()"],
      [null, "null"],
      ["kafka://host", "a string"],
      [kafkajs.Kafka, "a class, call it with new"],
      [kafkajs, "the module kafkajs, call new Kafka({ brokers }) of it"],
      [kafkajsModule, "the module kafkajs, call new Kafka({ brokers }) of it"],
      [Promise.resolve(client), "a promise, await it first"],
      [
        client.producer({ createPartitioner: kafkajs.Partitioners.DefaultPartitioner }),
        "a producer of kafkajs",
      ],
      [client.consumer({ groupId: "tests" }), "a consumer of kafkajs"],
      [client.admin(), "an admin of kafkajs"],
      // Those of node-rdkafka, and of @confluentinc/kafka-javascript, by their shape.
      [{ getMetadata() {}, offsetsForTimes() {}, produce() {} }, "a client of node-rdkafka"],
      [methods, "one of another version or library"],
    ];
    for (const [given, name] of wrong) {
      const error = assertThrows(() => kafka({ client: given as kafkajs.Kafka }), TypeError);
      assertEquals(
        error.message,
        `Cannot use client: it must be a client of kafkajs 2.2.4, new Kafka({ brokers }), it is ${name}`,
      );
    }
  });

  Deno.test("kafka: a URL that says the impossible is a TypeError", async () => {
    const wrong = {
      "kafka://h?sasl=plain": 'Cannot open "kafka://h": sasl=plain needs user:password@ in the URL',
      "kafka://user@h": 'Cannot open "kafka://h": sasl=plain needs user:password@ in the URL',
      "kafka://user:s3cret@h?sasl=gssapi":
        'Cannot open "kafka://h": parameter "sasl" must be one of plain, scram-sha-256, scram-sha-512, it is "gssapi"',
      "kafka://h?tls=yes":
        'Cannot open "kafka://h": parameter "tls" must be one of true, false, it is "yes"',
      "kafka://h?create=no":
        'Cannot open "kafka://h": parameter "create" must be one of true, false, it is "no"',
      "kafka://h?replication=0":
        'Cannot open "kafka://h": parameter "replication" must be a whole number of at least 1, it is "0"',
      "kafka://h?security_protocol=SASL_SSL":
        'Cannot open "kafka://h": sasl=plain needs user:password@ in the URL',
      "kafka://u:s3cret@h?sasl_mechanism=OAUTHBEARER":
        'Cannot open "kafka://h": parameter "sasl_mechanism" must be one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, it is "OAUTHBEARER"',
      "kafka://h?security.protocol=SSL&tls=false":
        'Cannot open "kafka://h": its parameters do not agree on whether TLS is used',
      "kafka://h/path": 'Cannot open "kafka://h/path": kafka has nothing to name by a path',
    };
    for (const [target, message] of Object.entries(wrong)) {
      const broadcast = new Broadcast(target);
      const error = await assertRejects(() => broadcast.connect(), TypeError);
      assertEquals(error.message, message);
      assertEquals(Deno.inspect(error, { depth: 10 }).includes("s3cret"), false);
      await broadcast.disconnect();
    }
  });

  Deno.test("kafka: what other clients write in a URL is used, ignored, or named", () => {
    for (
      const url of [
        "kafka://user:secret@pkc-1.eu.confluent.cloud:9092?security_protocol=SASL_SSL&sasl_mechanism=PLAIN",
        "kafka://user:secret@h?security.protocol=SASL_SSL&sasl.mechanism=SCRAM-SHA-512&acks=all",
      ]
    ) new Broadcast(url);
    const hints = {
      "kafka://h?bootstrap_servers=a": "write the servers as hosts",
      "kafka://h?group_id=g": "topics are read without a consumer group",
      "kafka://h?ssl_cafile=ca.pem": 'use "ca"',
      "kafka://h?security_protocl=SSL": 'did you mean "security_protocol"?',
    };
    for (const [url, hint] of Object.entries(hints)) {
      assertThrows(() => new Broadcast(url), TypeError, hint);
    }
  });

  Deno.test("kafka: users and passwords", async (t) => {
    const user = { name: "alice", password: "right" };
    await using server = await start({
      user,
      properties: {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        "allow.everyone.if.no.acl.found": "true",
      },
    });
    for (const sasl of ["plain", "scram-sha-256", "scram-sha-512"]) {
      await t.step(`${sasl}, and the right password connects`, async () => {
        await using broadcast = new Broadcast(`${server.url}?sasl=${sasl}`);
        const channel = uniqueChannel();
        const subscription = await broadcast.subscribe(channel);
        await broadcast.publish(channel, "hello");
        assertEquals(await within(messages(subscription, 1)), ["hello"]);
      });
      await t.step(`${sasl}, and a wrong one is refused and never shown`, async () => {
        const wrong = server.url.replace("right", "s3cret");
        await using broadcast = new Broadcast(`${wrong}?sasl=${sasl}`);
        const error = await assertRejects(() => broadcast.connect(), RefusedError);
        assertEquals(
          error.message,
          `Cannot connect to kafka://127.0.0.1:${server.port}: ${
            REFUSALS[sasl]
          }; write the login before the host: kafka://user:password@host`,
        );
        const shown = Deno.inspect(error, { depth: 10 });
        assertEquals([shown.includes("s3cret"), shown.includes(btoa("s3cret"))], [false, false]);
      });
    }
    await t.step("the right to read that is missing refuses a subscription at once", async () => {
      await using outsider = new Outsider(server.url);
      const protocol = "security_protocol=SASL_PLAINTEXT&sasl_mechanism=PLAIN";
      await using broadcast = new Broadcast(`${server.url}?${protocol}`);
      const channel = await outsider.topic(1);
      // Once a topic has a rule, what no rule allows is refused.
      await rule(
        outsider,
        channel,
        kafkajs.AclOperationTypes.WRITE,
        kafkajs.AclPermissionTypes.ALLOW,
      );
      const error = await assertRejects(() => broadcast.subscribe(channel), RefusedError);
      assertEquals(
        error.message,
        `Cannot subscribe to "${channel}": Not authorized to access topics: [Topic authorization failed]`,
      );
      await broadcast.publish(channel, "hello");
    });
    await t.step("a right that is missing is a refusal", async () => {
      await using outsider = new Outsider(server.url);
      await using broadcast = new Broadcast(server.url);
      const channel = await outsider.topic(1);
      await rule(outsider, channel, kafkajs.AclOperationTypes.ALL);
      const reason = "Not authorized to access topics: [Topic authorization failed]";
      const subscribing = await assertRejects(() => broadcast.subscribe(channel), RefusedError);
      assertEquals(subscribing.message, `Cannot subscribe to "${channel}": ${reason}`);
      const publishing = await assertRejects(() => broadcast.publish(channel, "x"), RefusedError);
      assertEquals(publishing.message, `Cannot publish to "${channel}": ${reason}`);
      assertEquals(broadcast.state, "connected");
    });
    await t.step(
      "a right that is withdrawn ends the subscriptions of its channel alone",
      async () => {
        await using outsider = new Outsider(server.url);
        await using broadcast = new Broadcast(server.url);
        const [channel, other] = [await outsider.topic(1), uniqueChannel()];
        const ending = await broadcast.subscribe(channel);
        const living = await broadcast.subscribe(other);
        const failing = assertRejects(() => within(messages(ending, 1)), RefusedError);
        await rule(outsider, channel, kafkajs.AclOperationTypes.READ);
        assertEquals(
          (await failing).message,
          `Cannot subscribe to "${channel}": Not authorized to access topics: [Topic authorization failed]`,
        );
        await broadcast.publish(other, "hello");
        assertEquals(await within(messages(living, 1)), ["hello"]);
      },
    );
    await t.step("it ends the subscriptions of a pattern, and is named", async () => {
      await using outsider = new Outsider(server.url);
      await using broadcast = new Broadcast(server.url);
      const channel = uniqueChannel();
      const pattern = `${channel}.*`;
      const subscription = await broadcast.subscribe({ pattern });
      await broadcast.publish(`${channel}.open`, "open");
      await broadcast.publish(`${channel}.shut`, "shut");
      await within(messages(subscription, 2));
      const failing = assertRejects(() => within(messages(subscription, 1)), RefusedError);
      await rule(outsider, `${channel}.shut`, kafkajs.AclOperationTypes.READ);
      assertEquals(
        (await failing).message,
        `Cannot subscribe to pattern "${pattern}": topic "${channel}.shut": Not authorized to access topics: [Topic authorization failed]`,
      );
      assertEquals(broadcast.state, "connected");
    });
    await t.step("a user is let in by plain unless the URL says otherwise", async () => {
      await using broadcast = new Broadcast(server.url);
      await broadcast.connect();
    });
    await t.step("the server's facts name the user, and the client's user as well", async () => {
      const client = new kafkajs.Kafka({
        brokers: [`127.0.0.1:${server.port}`],
        sasl: { mechanism: "plain", username: "alice", password: "right" },
        logLevel: kafkajs.logLevel.NOTHING,
      });
      for (const source of [kafka({ url: server.url }), kafka({ client })]) {
        const backend = await source.open();
        await backend.connect!();
        const facts = await backend.describe!();
        await backend.close();
        assertEquals([facts.user, JSON.stringify(facts).includes("right")], ["alice", false]);
      }
    });
    await t.step("nobody is let in without a password", async () => {
      await using broadcast = new Broadcast(`kafka://127.0.0.1:${server.port}`);
      const error = await assertRejects(() => broadcast.connect(), ConnectionError);
      assertEquals(
        error.message,
        `Cannot connect to kafka://127.0.0.1:${server.port}: ${silent(server.port)}`,
      );
    });
  });
}

const REFUSALS: Record<string, string> = {
  "plain": "SASL PLAIN authentication failed: Authentication failed: Invalid username or password",
  "scram-sha-256":
    "SASL SCRAM SHA256 authentication failed: Authentication failed during authentication due to invalid credentials with SASL mechanism SCRAM-SHA-256",
  "scram-sha-512":
    "SASL SCRAM SHA512 authentication failed: Authentication failed during authentication due to invalid credentials with SASL mechanism SCRAM-SHA-512",
};

async function rule(
  outsider: Outsider,
  resourceName: string,
  operation: kafkajs.AclOperationTypes,
  permissionType = kafkajs.AclPermissionTypes.DENY,
): Promise<void> {
  const acl = {
    resourceName,
    operation,
    resourceType: kafkajs.AclResourceTypes.TOPIC,
    resourcePatternType: kafkajs.ResourcePatternTypes.LITERAL,
    principal: "User:alice",
    host: "*",
    permissionType,
  };
  await (await outsider.admin()).createAcls({ acl: [acl] });
}

withBroker("kafka", access);
