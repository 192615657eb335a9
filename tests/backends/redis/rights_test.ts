/** Users that lack a right, lose it, or get it back. Each case has a server of its own. */

import { assertEquals, assertRejects } from "@std/assert";
import { deadline } from "@std/async";
import { Broadcast, RefusedError } from "../../../mod.ts";
import { messages } from "../../conformance/harness.ts";
import { withBroker } from "../../services/broker.ts";
import { OwnServer, SCHEMES, statesOf } from "./own_server.ts";
import { LEAST } from "./rights.ts";

const PATIENCE = 20_000;

withBroker("redis", () => {
  for (const scheme of SCHEMES) {
    test(`${scheme}: a channel without a right to it is refused`, async (own) => {
      await own.user("app", LEAST[scheme]);
      await using broadcast = new Broadcast(own.url(scheme, "app"));
      await assertRejects(() => broadcast.subscribe("other"), RefusedError, "NOPERM");
      await assertRejects(() => broadcast.publish("other", "x"), RefusedError, "NOPERM");
      const subscription = await broadcast.subscribe("allowed");
      await broadcast.publish("allowed", "hello");
      assertEquals(await messages(subscription, 1), ["hello"]);
    });

    test(`${scheme}: the rule that grants a missing right is told`, async (own) => {
      const needed = scheme === "redis" ? "+publish" : "+xadd";
      await own.user("app", LEAST[scheme].replace(needed, ""));
      await using broadcast = new Broadcast(own.url(scheme, "app"));
      const grant = (rule: string) => `; grant it: ACL SETUSER <user> ${rule}`;
      const publish = () => broadcast.publish("allowed", "x");
      await assertRejects(publish, RefusedError, grant(needed));
      await own.call(`ACL SETUSER app ${needed}`);
      await publish();
      const other = () => broadcast.publish("other", "x");
      await assertRejects(other, RefusedError, grant(scheme === "redis" ? "&<channel>" : "~<key>"));
    });

    test(`${scheme}: channels that are opened at once share a command`, async (own) => {
      await own.user("app", "+@all ~* &*");
      await using broadcast = new Broadcast(`${own.url(scheme, "app")}?linger=0`);
      await (await broadcast.subscribe("warm")).cancel();
      const names = Array.from({ length: 64 }, (_, number) => `channel-${number}`);
      const before = await own.calls("subscribe");
      await Promise.all(names.map((name) => broadcast.subscribe(name)));
      assertEquals(await own.calls("subscribe") - before < 4, true);
      // One that is refused does not refuse the others.
      await own.call("ACL SETUSER app resetchannels &allowed &allowed:wake");
      const [refused, allowed] = await Promise.allSettled(
        ["other", "allowed"].map((name) => broadcast.subscribe(name)),
      );
      assertEquals([refused!.status, allowed!.status], ["rejected", "fulfilled"]);
    });

    test(`${scheme}: a user with the least rights stays connected`, async (own) => {
      await own.user("app", LEAST[scheme]);
      await using broadcast = new Broadcast(`${own.url(scheme, "app")}?probe=1s`);
      const subscription = await broadcast.subscribe("allowed");
      const states = statesOf(broadcast);
      // Two connections, of which each asks for the role by HELLO, without a right to ROLE.
      await own.called("hello", 4);
      await broadcast.publish("allowed", "hello");
      assertEquals(await messages(subscription, 1), ["hello"]);
      assertEquals(states, []);
    });

    test(`${scheme}: a revoked channel ends its subscription, and no other`, async (own) => {
      await own.user("app", "+@all ~* &*");
      await using broadcast = new Broadcast(`${own.url(scheme, "app")}?linger=0`);
      const [lost, kept] = await Promise.all(
        ["lost", "kept"].map((one) => broadcast.subscribe(one)),
      );
      const end = assertRejects(() => messages(lost!, 1), RefusedError, "NOPERM");
      await own.call("ACL SETUSER app resetchannels &kept &kept:wake");
      await end;
      await assertRejects(() => broadcast.subscribe("lost"), RefusedError, "NOPERM");
      await broadcast.publish("kept", "hello");
      assertEquals(await messages(kept!, 1), ["hello"]);
      // A right that is restored serves the next subscription.
      await own.call("ACL SETUSER app allchannels");
      const again = await broadcast.subscribe("lost");
      await broadcast.publish("lost", "again");
      assertEquals(await messages(again, 1), ["again"]);
    });
  }

  test("redis: a revoked pattern ends its subscription", async (own) => {
    await own.user("app", "+@all &*");
    await using broadcast = new Broadcast(own.url("redis", "app"));
    const subscription = await broadcast.subscribe({ pattern: "a*" });
    const end = assertRejects(() => messages(subscription, 1), RefusedError, "NOPERM");
    await own.call("ACL SETUSER app resetchannels &b*");
    await end;
  });

  test("redis-stream: a revoked key ends its subscription, and no other", async (own) => {
    await own.user("app", "+@all ~* &*");
    await using broadcast = new Broadcast(own.url("redis-stream", "app"));
    const [lost, kept] = await Promise.all(["lost", "kept"].map((one) => broadcast.subscribe(one)));
    const states = statesOf(broadcast);
    const end = assertRejects(() => messages(lost!, 1), RefusedError, "NOPERM");
    await own.call("ACL SETUSER app resetkeys ~kept");
    await end;
    await assertRejects(() => broadcast.history("lost"), RefusedError, "NOPERM");
    await assertRejects(() => broadcast.publish("lost", "x"), RefusedError, "NOPERM");
    await broadcast.publish("kept", "hello");
    assertEquals(await messages(kept!, 1), ["hello"]);
    assertEquals(states, []);
  });

  test("redis: a user that loses the right to publish goes on listening", async (own) => {
    await own.user("app", "+@all &*");
    await using broadcast = new Broadcast(`${own.url("redis", "app")}?probe=1s`);
    await using other = new Broadcast(own.url("redis"));
    const subscription = await broadcast.subscribe("channel");
    const states = statesOf(broadcast);
    await own.call("ACL SETUSER app -publish");
    await assertRejects(() => broadcast.publish("channel", "x"), RefusedError, "NOPERM");
    await own.called("role", 4);
    await other.publish("channel", "hello");
    assertEquals(await messages(subscription, 1), ["hello"]);
    assertEquals(states, []);
  });
});

function test(name: string, body: (own: OwnServer) => Promise<void>): void {
  Deno.test(name, async () => {
    await using own = await OwnServer.start();
    await deadline(body(own), PATIENCE);
  });
}
