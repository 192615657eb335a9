/** Logins, TLS and permissions, and the errors that tell of them. */

import { assertEquals, assertRejects } from "@std/assert";
import { Broadcast, ConnectionError, RefusedError } from "../../../mod.ts";
import { messages } from "../../conformance/harness.ts";
import { withBroker } from "../../services/broker.ts";
import { certify } from "../../services/certificate.ts";
import { start } from "../../services/nats.ts";
import { LEAST } from "./rights.ts";

function access(scheme: "nats" | "nats-stream"): void {
  const at = (port: number, login = "") => `${scheme}://${login}127.0.0.1:${port}`;

  Deno.test(`${scheme}: a wrong password is refused, and never shown`, async () => {
    await using server = await start({ config: "authorization { user: app, password: right }" });
    for (const login of ["app:s3cret@", "s3cret@", ""]) {
      await using broadcast = new Broadcast(at(server.port, login));
      const error = await assertRejects(() => broadcast.connect(), RefusedError);
      assertEquals(
        error.message,
        `Cannot connect to ${scheme}://127.0.0.1:${server.port}: Authorization Violation; write the login before the host: nats://user:password@host or nats://token@host or give ?creds=`,
      );
      assertEquals(Deno.inspect(error, { depth: 10 }).includes("s3cret"), false);
    }
  });

  Deno.test(`${scheme}: the right password connects, as does a token`, async () => {
    for (const config of ["user: app, password: 'p@ss/word'", "token: 'p@ss/word'"]) {
      await using server = await start({ config: `authorization { ${config} }` });
      const secret = encodeURIComponent("p@ss/word");
      const login = config.startsWith("user") ? `app:${secret}@` : `${secret}@`;
      await using broadcast = new Broadcast(at(server.port, login));
      const subscription = await broadcast.subscribe("chatroom");
      await broadcast.publish("chatroom", "hello");
      assertEquals(await messages(subscription, 1), ["hello"]);
    }
  });

  Deno.test(`${scheme}: of several servers one that is there is used`, async () => {
    await using server = await start();
    await using broadcast = new Broadcast(`${scheme}://127.0.0.1:1,127.0.0.1:${server.port}`);
    await broadcast.publish("chatroom", "hello");
  });

  Deno.test(`${scheme}: an address where nobody listens is named`, async () => {
    await using broadcast = new Broadcast(at(1, "user:s3cret@"));
    const error = await assertRejects(() => broadcast.subscribe("chatroom"), ConnectionError);
    assertEquals(
      error.message,
      `Cannot connect to ${scheme}://127.0.0.1:1: connection refused`,
    );
  });

  Deno.test(`${scheme}: a server whose authority is named is trusted, and no other`, async () => {
    const folder = await Deno.makeTempDir();
    const { certificate, key } = await certify(folder);
    await using server = await start({
      config: `tls { cert_file: "${certificate}", key_file: "${key}" }`,
    });
    // By its name: on Deno the client cannot check an address.
    const url = `${scheme}://localhost:${server.port}`;
    await using broadcast = new Broadcast(`${url}?ca=${certificate}`);
    const subscription = await broadcast.subscribe("chatroom");
    await broadcast.publish("chatroom", "hello");
    assertEquals(await messages(subscription, 1), ["hello"]);
    await using distrustful = new Broadcast(`${url}?tls=true`);
    await assertRejects(() => distrustful.connect(), Error);
    await Deno.remove(folder, { recursive: true });
  });

  Deno.test(`${scheme}: a server without TLS is refused where TLS is asked for`, async () => {
    await using server = await start();
    await using broadcast = new Broadcast(`${at(server.port)}?tls=true`);
    await assertRejects(() => broadcast.connect(), ConnectionError, "tls");
  });

  Deno.test(`${scheme}: what a user may not do is refused, and the rest goes on`, async () => {
    await using server = await start({
      config: `authorization { users = [
        { user: app, password: app, permissions: { ${LEAST[scheme]} } }
      ] }`,
    });
    await using broadcast = new Broadcast(at(server.port, "app:app@"));
    const subscription = await broadcast.subscribe("open.a");
    const published = Promise.allSettled([
      broadcast.publish("open.a", "one"),
      broadcast.publish("shut", "two"),
      broadcast.publish("open.a", "three"),
    ]);
    const outcomes = (await published).map((outcome) =>
      outcome.status === "rejected" ? outcome.reason.name : "accepted"
    );
    assertEquals(outcomes, ["accepted", "RefusedError", "accepted"]);
    assertEquals(await messages(subscription, 2), ["one", "three"]);
    await assertRejects(() => broadcast.subscribe("shut"), RefusedError);
    await assertRejects(() => broadcast.subscribe({ pattern: "*" }), RefusedError);
    await broadcast.publish("open.a", "four");
    assertEquals(await messages(subscription, 1), ["four"]);
  });

  Deno.test(`${scheme}: a payload that the server would refuse is a RangeError`, async () => {
    await using server = await start({ config: "max_payload: 1000" });
    await using broadcast = new Broadcast(at(server.port));
    const subscription = await broadcast.subscribe("chatroom");
    await assertRejects(() => broadcast.publish("chatroom", "x".repeat(1_001)), RangeError);
    await broadcast.publish("chatroom", "x".repeat(1_000));
    await broadcast.publish("chatroom", "hello");
    assertEquals((await messages(subscription, 2))[1], "hello");
  });

  Deno.test(`${scheme}: a name that fits no subject is a RangeError`, async () => {
    await using server = await start();
    await using broadcast = new Broadcast(at(server.port));
    const name = "é".repeat(1_024);
    const subscription = await broadcast.subscribe(name);
    await broadcast.publish(name, "hello");
    assertEquals(await messages(subscription, 1), ["hello"]);
    await assertRejects(() => broadcast.publish(`${name}x`, "x"), RangeError, "2049 bytes");
    await assertRejects(() => broadcast.subscribe(" ".repeat(683)), RangeError, "2049 bytes");
  });
}

withBroker("nats", () => {
  access("nats");
  access("nats-stream");
});
