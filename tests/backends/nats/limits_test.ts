/** What a server limits, revokes and takes back while it runs. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { Broadcast, ConnectionError, RefusedError } from "../../../mod.ts";
import { messages, numbered } from "../../conformance/harness.ts";
import { withBroker } from "../../services/broker.ts";
import { reload, start } from "../../services/nats.ts";
import { until } from "../../services/service.ts";
import { state } from "../rig.ts";

/** How many subscriptions a session has besides those of its channels. */
const OWN = { nats: 0, "nats-stream": 3 };

function limits(scheme: "nats" | "nats-stream"): void {
  const at = (port: number, login = "") => `${scheme}://${login}127.0.0.1:${port}`;
  /** A configuration whose user may use some channels. */
  const rights = (...names: string[]) => {
    const [out, back] = scheme === "nats" ? ["", ""] : ["broadcaster.", "broadcaster-live."];
    const list = (prefix: string, others: string[]) =>
      JSON.stringify([...names.map((name) => `${prefix}${name}`), ...others]);
    return `authorization { users = [ { user: app, password: app, permissions: {
      publish: ${list(out, ["$JS.API.>"])}, subscribe: ${list(back, ["_INBOX.>"])} } } ] }`;
  };

  Deno.test(`${scheme}: a subscription over the server's limit is refused, alone`, async () => {
    await using server = await start({ config: `max_subscriptions: ${2 + OWN[scheme]}` });
    await using broadcast = new Broadcast(`${at(server.port)}?linger=0`);
    const first = await broadcast.subscribe("one");
    const error = await assertRejects(
      async () => {
        const two = await broadcast.subscribe("two");
        await broadcast.subscribe("three").finally(() => two.close());
      },
      RefusedError,
    );
    assertEquals(
      error.message,
      'Cannot subscribe to "three": maximum subscriptions exceeded',
    );
    await broadcast.publish("one", "hello");
    assertEquals(await messages(first, 1), ["hello"]);
  });

  Deno.test(`${scheme}: of subscriptions in one turn only those over the limit are refused`, async () => {
    await using server = await start({ config: `max_subscriptions: ${3 + OWN[scheme]}` });
    await using broadcast = new Broadcast(at(server.port));
    await broadcast.connect();
    const names = numbered(40, "channel-");
    const settled = await Promise.allSettled(names.map((name) => broadcast.subscribe(name)));
    const open = settled.flatMap((one) => one.status === "fulfilled" ? [one.value] : []);
    const reasons = settled.flatMap((one) => one.status === "rejected" ? [one.reason] : []);
    assertEquals(open.length, 3);
    assert(reasons.every((reason) => reason instanceof RefusedError));
    await Promise.all(names.map((name) => broadcast.publish(name, name)));
    const heard = await Promise.all(open.map((one) => messages(one, 1)));
    assertEquals(new Set(heard.flat()).size, 3);
  });

  Deno.test(`${scheme}: a right that is revoked ends its subscription, and no other`, async () => {
    await using server = await start({ config: rights("a", "b") });
    await using broadcast = new Broadcast(`${at(server.port, "app:app@")}?timeout=5s`);
    const [a, b] = [await broadcast.subscribe("a"), await broadcast.subscribe("b")];
    await broadcast.publish("a", "before");
    await broadcast.publish("b", "before");
    assertEquals([...await messages(a, 1), ...await messages(b, 1)], ["before", "before"]);
    const ended = assertRejects(() => messages(b, 1), RefusedError, "Permissions Violation");
    await reload(server, rights("a"));
    await ended;
    await assertRejects(() => broadcast.publish("b", "x"), RefusedError, "Permissions Violation");
    await assertRejects(() => broadcast.subscribe("b"), RefusedError, "Permissions Violation");
    await broadcast.publish("a", "after");
    assertEquals(await messages(a, 1), ["after"]);
    await reload(server, rights("a", "b"));
    const again = await broadcast.subscribe("b");
    await broadcast.publish("b", "restored");
    assertEquals(await messages(again, 1), ["restored"]);
  });

  Deno.test(`${scheme}: a user who is removed reconnects once he is there again`, async () => {
    await using server = await start({ config: rights("a") });
    await using broadcast = new Broadcast(`${at(server.port, "app:app@")}?timeout=20s`);
    const subscription = await broadcast.subscribe("a");
    const lost = state(broadcast, "reconnecting");
    const other = rights("a").replace("user: app", "user: other");
    await reload(server, other);
    await lost;
    const back = state(broadcast, "connected");
    const published = broadcast.publish("a", "after");
    await reload(server, rights("a"));
    await back;
    await published;
    assertEquals(await messages(subscription, 1), ["after"]);
  });

  Deno.test(`${scheme}: a payload limit that is lowered fails what is larger, and nothing else`, async () => {
    await using server = await start();
    await using broadcast = new Broadcast(at(server.port));
    const subscription = await broadcast.subscribe("a");
    await reload(server, "max_payload: 1000");
    // Clients are not told: the server closes the connection, and the next one knows.
    await broadcast.publish("a", "x".repeat(2_000)).catch(() => {});
    await broadcast.publish("a", "small");
    await assertRejects(() => broadcast.publish("a", "x".repeat(2_000)), RangeError, "1000");
    const both = Promise.allSettled([
      broadcast.publish("a", "y".repeat(2_000)),
      broadcast.publish("a", "last"),
    ]);
    assertEquals((await both).map(({ status }) => status), ["rejected", "fulfilled"]);
    assertEquals(await messages(subscription, 2), ["small", "last"]);
  });

  Deno.test(`${scheme}: a server with too many connections is no refusal`, async () => {
    await using server = await start({ config: "max_connections: 1" });
    await using first = new Broadcast(at(server.port));
    // The server may still count whoever asked whether it runs.
    await until(() => first.connect().then(() => true, () => false), "Cannot connect");
    await using second = new Broadcast(at(server.port));
    await assertRejects(() => second.connect(), ConnectionError, "too many connections");
    await first.disconnect();
    await until(() => second.connect().then(() => true, () => false), "Cannot connect");
    await second.publish("a", "hello");
  });
}

withBroker("nats", () => {
  limits("nats");
  limits("nats-stream");
});
