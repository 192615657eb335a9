/** What RabbitMQ says while it is short of memory, and when it limits, revokes or deletes. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  Broadcast,
  ConnectionError,
  type GapEvent,
  OutcomeUnknownError,
  RefusedError,
} from "../../../mod.ts";
import { amqpStream } from "../../../backends/amqp/log.ts";
import { amqp } from "../../../backends/amqp/pubsub.ts";
import { messages, take, uniqueChannel } from "../../conformance/harness.ts";
import { alarm, evaluate, permit, start } from "../../services/amqp.ts";
import { withBroker } from "../../services/broker.ts";
import { Proxy } from "../../services/proxy.ts";
import type { Server } from "../../services/server.ts";
import { until } from "../../services/service.ts";

/** The limit for a message on the server, in bytes. */
const LARGEST = 100_000;

function statesOf(broadcast: Broadcast): string[] {
  const states: string[] = [];
  broadcast.addEventListener("statechange", ({ state }) => states.push(state));
  return states;
}

function gapsOf(broadcast: Broadcast): GapEvent[] {
  const gaps: GapEvent[] = [];
  broadcast.addEventListener("gap", (event) => gaps.push(event));
  return gaps;
}

function as(server: Server, user: string, path = ""): string {
  return `${server.url.replace(/\/\/[^@]*/, `//${user}:${user}`)}${path}`;
}

const CASES: Record<string, (server: Server) => Promise<void>> = {
  async "amqp: while the server is short of memory, publishes wait and are then not sent, the rest goes on"(
    server,
  ) {
    await using broadcast = new Broadcast(`${server.url}?timeout=2s&probe=500ms`);
    const states = statesOf(broadcast);
    const gaps = gapsOf(broadcast);
    const subscription = await broadcast.subscribe("chat");
    await broadcast.publish("chat", "before");
    assertEquals(await messages(subscription, 1), ["before"]);
    // A pause, after which nothing is sent until the server has shown that it reads.
    await new Promise((resolve) => setTimeout(resolve, 600));
    await alarm(server, true);
    try {
      const error = await assertRejects(() => broadcast.publish("chat", "lost"), ConnectionError);
      assert(error.message.includes("blocks publishing: low on memory"), error.message);
      // A process that has not published, and one that has, both subscribe.
      const other = await broadcast.subscribe("other");
      await using listener = new Broadcast(server.url);
      const third = await listener.subscribe("other");
      const waiting = listener.publish("chat", "waiting");
      await alarm(server, false);
      await waiting;
      await broadcast.publish("other", "after");
      assertEquals([await messages(other, 1), await messages(third, 1)], [["after"], ["after"]]);
      assertEquals(await messages(subscription, 1), ["waiting"]);
    } finally {
      await alarm(server, false);
    }
    assertEquals([states, gaps.length], [["connecting", "connected"], 0]);
  },

  async "amqp: what was sent right before the server blocked is of unknown outcome, and publishing goes on after"(
    server,
  ) {
    await using broadcast = new Broadcast(`${server.url}?timeout=2s`);
    const states = statesOf(broadcast);
    await broadcast.publish("limbo", "before");
    const setting = alarm(server, true);
    let count = 0;
    let failure: unknown;
    // Until the server does not answer any more.
    while (!failure) {
      await broadcast.publish("limbo", `${count++}`).catch((error) => failure = error);
    }
    await setting;
    assertEquals((failure as Error).constructor, OutcomeUnknownError);
    await assertRejects(() => broadcast.publish("limbo", "no"), ConnectionError, "low on memory");
    await alarm(server, false);
    await broadcast.publish("elsewhere", "after");
    assertEquals(states, ["connecting", "connected"]);
  },

  async "amqp-stream: while the server is short of memory, publishes are not sent, and nothing is lost"(
    server,
  ) {
    const channel = uniqueChannel();
    const url = server.url.replace(/^amqp/, "amqp-stream");
    await using broadcast = new Broadcast(`${url}?timeout=2s&probe=500ms`);
    const states = statesOf(broadcast);
    const subscription = await broadcast.subscribe(channel);
    await broadcast.publish(channel, "before");
    assertEquals(await messages(subscription, 1), ["before"]);
    await new Promise((resolve) => setTimeout(resolve, 600));
    await alarm(server, true);
    try {
      await assertRejects(
        () => broadcast.publish(channel, "lost"),
        ConnectionError,
        "low on memory",
      );
    } finally {
      await alarm(server, false);
    }
    // This one does not wait for another attempt.
    await using other = new Broadcast(url);
    await other.publish(channel, "after");
    const event = (await take(subscription, 1))[0]!;
    assertEquals([event.message, event.gap, states], ["after", undefined, [
      "connecting",
      "connected",
    ]]);
  },

  async "amqp: a message over the limit of the server is refused alone, those after it are sent again"(
    server,
  ) {
    await using broadcast = new Broadcast(server.url);
    const states = statesOf(broadcast);
    const subscription = await broadcast.subscribe("large");
    await broadcast.publish("large", "first");
    const outcomes = await Promise.allSettled([
      broadcast.publish("large", "before"),
      broadcast.publish("large", "x".repeat(LARGEST + 1)),
      broadcast.publish("large", "after"),
      broadcast.publish("elsewhere", "after"),
    ]);
    const [before, refused, ...after] = outcomes;
    const { reason } = refused as PromiseRejectedResult;
    assertEquals(reason.constructor, RefusedError);
    assert(reason.message.includes(`message size ${LARGEST + 1} is larger`), reason.message);
    assertEquals(after.map(({ status }) => status), ["fulfilled", "fulfilled"]);
    if (before!.status === "rejected") assert(before.reason instanceof OutcomeUnknownError);
    const heard: string[] = [];
    for await (const { message, gap } of subscription.values({ preventCancel: true })) {
      assertEquals(gap, undefined);
      heard.push(message);
      if (message === "after") break;
    }
    assertEquals(heard.filter((message) => message !== "before"), ["first", "after"]);
    assertEquals(states, ["connecting", "connected"]);
  },

  async "amqp-stream: a message over the limit of the server is refused alone"(server) {
    const channel = uniqueChannel();
    await using broadcast = new Broadcast(server.url.replace(/^amqp/, "amqp-stream"));
    await broadcast.publish(channel, "first");
    const [refused, after] = await Promise.allSettled([
      broadcast.publish(channel, "x".repeat(LARGEST + 1)),
      broadcast.publish(channel, "after"),
    ]);
    assertEquals((refused as PromiseRejectedResult).reason.constructor, RefusedError);
    assertEquals(after!.status, "fulfilled");
    const events = await broadcast.history(channel);
    assertEquals(events.map(({ message }) => message), ["first", "after"]);
  },

  async "amqp: a user who may only write publishes, and is refused a subscription"(server) {
    await using admin = new Broadcast(server.url);
    const subscription = await admin.subscribe("rights");
    await permit(server, "writer", ["^$", "^broadcaster$", "^$"]);
    await using broadcast = new Broadcast(`${as(server, "writer")}?probe=500ms`);
    const states = statesOf(broadcast);
    await broadcast.publish("rights", "hello");
    assertEquals(await messages(subscription, 1), ["hello"]);
    await assertRejects(() => broadcast.subscribe("rights"), RefusedError, "ACCESS_REFUSED");
    await broadcast.publish("rights", "again");
    assertEquals(await messages(subscription, 1), ["again"]);
    assertEquals(states, ["connecting", "connected"]);
  },

  async "amqp: a user who may only read subscribes without a proof, and stays connected"(server) {
    await using admin = new Broadcast(server.url);
    await admin.connect();
    await permit(server, "reader", [
      "^amq\\\\.gen",
      "^amq\\\\.gen",
      "^(broadcaster|amq\\\\.gen.*)$",
    ]);
    await using broadcast = new Broadcast(`${as(server, "reader")}?probe=300ms`);
    const states = statesOf(broadcast);
    const gaps = gapsOf(broadcast);
    const subscription = await broadcast.subscribe("rights");
    await assertRejects(() => broadcast.publish("rights", "no"), RefusedError, "ACCESS_REFUSED");
    // Several probes.
    for (let count = 0; count < 4; count++) {
      await new Promise((resolve) => setTimeout(resolve, 300));
      await admin.publish("rights", "hello");
      assertEquals(await messages(subscription, 1), ["hello"]);
    }
    assertEquals([states, gaps.length], [["connecting", "connected"], 0]);
  },

  async "amqp: the facts about the server name the user of the URL"(server) {
    await permit(server, "named", [".*", ".*", ".*"]);
    for (const [factory, scheme] of [[amqp, "amqp"], [amqpStream, "amqp-stream"]] as const) {
      const backend = await factory({ url: as(server, "named").replace("amqp", scheme) }).open();
      await backend.connect!();
      const facts = await backend.describe!();
      await backend.close();
      assertEquals([facts.user, facts.TLS], ["named", "no"]);
    }
  },

  async "amqp: rights that are revoked refuse what is new, and do not flap"(server) {
    await permit(server, "revoked", [".*", ".*", ".*"]);
    await using broadcast = new Broadcast(`${as(server, "revoked")}?probe=300ms`);
    const states = statesOf(broadcast);
    const subscription = await broadcast.subscribe("rights");
    await broadcast.publish("rights", "before");
    assertEquals(await messages(subscription, 1), ["before"]);
    await permit(server, "revoked", ["^$", "^$", "^$"]);
    await assertRejects(() => broadcast.subscribe("more"), RefusedError, "ACCESS_REFUSED");
    await using admin = new Broadcast(server.url);
    await admin.publish("rights", "after");
    assertEquals(await messages(subscription, 1), ["after"]);
    await permit(server, "revoked", [".*", ".*", ".*"]);
    const again = await broadcast.subscribe("more");
    await admin.publish("more", "again");
    assertEquals(await messages(again, 1), ["again"]);
    assertEquals(states, ["connecting", "connected"]);
  },

  async "amqp: a user who is deleted is connected again once there is one, with a gap"(server) {
    await permit(server, "deleted", [".*", ".*", ".*"]);
    await using broadcast = new Broadcast(as(server, "deleted"));
    const subscription = await broadcast.subscribe("users");
    const gaps = gapsOf(broadcast);
    await evaluate(server, `rabbit_auth_backend_internal:delete_user(<<"deleted">>, <<"test">>)`);
    await until(() => broadcast.state === "reconnecting", "Cannot lose the connection");
    await permit(server, "deleted", [".*", ".*", ".*"]);
    await until(() => gaps.length > 0, "Cannot hear of a gap");
    await broadcast.publish("users", "after");
    const event = (await take(subscription, 1))[0]!;
    assertEquals([event.message, event.gap?.cause], ["after", "disconnect"]);
  },

  async "amqp: a virtual host that is deleted is connected again once there is one, with a gap"(
    server,
  ) {
    const make = async () => {
      await evaluate(server, `rabbit_vhost:add(<<"v/h">>, <<"test">>)`);
      await permit(server, "guest", [".*", ".*", ".*"], "v/h");
    };
    await make();
    await using broadcast = new Broadcast(`${server.url}/v%2fh`);
    const subscription = await broadcast.subscribe("hosts");
    const gaps = gapsOf(broadcast);
    await evaluate(server, `rabbit_vhost:delete(<<"v/h">>, <<"test">>)`);
    await until(() => broadcast.state === "reconnecting", "Cannot lose the connection");
    await make();
    await until(() => gaps.length > 0, "Cannot hear of a gap");
    await broadcast.publish("hosts", "after");
    const event = (await take(subscription, 1))[0]!;
    assertEquals([event.message, event.gap?.cause], ["after", "disconnect"]);
  },

  async "amqp: a limit of queues refuses a subscription after the timeout, and none before"(
    server,
  ) {
    const limit = (limits: string) =>
      evaluate(server, `rabbit_vhost_limit:set(<<"/">>, ${limits}, <<"test">>)`);
    await using broadcast = new Broadcast(`${server.url}?timeout=1s`);
    await limit(`[{<<"max-queues">>, 0}]`);
    try {
      const error = await assertRejects(() => broadcast.subscribe("limits"), ConnectionError);
      assert(error.message.includes("queue limit"), error.message);
      const subscribing = broadcast.subscribe("limits");
      await limit("[]");
      await using subscription = await subscribing;
      assertEquals(subscription.locked, false);
    } finally {
      await limit("[]");
    }
    assertEquals(broadcast.state, "connected");
  },

  async "amqp: a connection that an administrator closes is opened again, with a gap"(server) {
    await using broadcast = new Broadcast(server.url);
    const subscription = await broadcast.subscribe("closed");
    const gaps = gapsOf(broadcast);
    await evaluate(
      server,
      `[rabbit_networking:close_connection(P, "bye") || P <- rabbit_networking:connections()]`,
    );
    await until(() => gaps.length > 0, "Cannot hear of a gap");
    await broadcast.publish("closed", "after");
    assertEquals(await messages(subscription, 1), ["after"]);
  },

  async "amqp: an address that leads to two servers rejects a subscription with the reason"(
    server,
  ) {
    await using proxy = await Proxy.start(server.port);
    await using broadcast = new Broadcast(proxy.url(server.url));
    await broadcast.publish("anywhere", "hello");
    // What subscribes comes to a server that what publishes does not know.
    proxy.redirect(Number(new URL(Deno.env.get("AMQP_URL")!).port));
    const error = await assertRejects(() => broadcast.subscribe("anywhere"), RefusedError);
    assert(error.message.includes("did not come back"), error.message);
    await broadcast.publish("anywhere", "hello");
    assertEquals(broadcast.state, "connected");
  },
};

withBroker(
  "amqp",
  () =>
    Deno.test("RabbitMQ, short of memory, with limits, rights and policies", async (test) => {
      await using server = await start(`max_message_size = ${LARGEST}`);
      for (const [name, run] of Object.entries(CASES)) await test.step(name, () => run(server));
    }),
);
