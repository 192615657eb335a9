/** Credentials files, and users whose time is over. */

import { join } from "node:path";
import { assertEquals, assertRejects } from "@std/assert";
import { Broadcast, RefusedError } from "../../../mod.ts";
import { messages } from "../../conformance/harness.ts";
import { withBroker } from "../../services/broker.ts";
import { start } from "../../services/nats.ts";
import { state } from "../rig.ts";
import { Issuer } from "./jwt.ts";

function credentials(scheme: "nats" | "nats-stream"): void {
  Deno.test(`${scheme}: a credentials file is the login`, async () => {
    const issuer = new Issuer();
    await using server = await start({ config: issuer.config });
    const file = join(server.directory, "user.creds");
    await Deno.writeTextFile(file, issuer.credentials());
    const url = server.url.replace("nats", scheme);
    await using broadcast = new Broadcast(`${url}?creds=${file}`);
    const subscription = await broadcast.subscribe("x");
    await broadcast.publish("x", "hello");
    assertEquals(await messages(subscription, 1), ["hello"]);
    await using none = new Broadcast(url);
    await assertRejects(() => none.connect(), RefusedError, "Authorization Violation");
    await Deno.writeTextFile(file, "not one");
    await using wrong = new Broadcast(`${url}?creds=${file}`);
    await assertRejects(() => wrong.connect(), RefusedError, "?creds= is not a credentials file");
    await using missing = new Broadcast(`${url}?creds=${file}.gone`);
    await assertRejects(() => missing.connect(), Error, 'parameter "creds" must be the path');
  });

  Deno.test(`${scheme}: credentials that expire are read again, and events go on`, async () => {
    const issuer = new Issuer();
    await using server = await start({ config: issuer.config });
    const file = join(server.directory, "user.creds");
    await Deno.writeTextFile(file, issuer.credentials(2));
    const url = server.url.replace("nats", scheme);
    await using broadcast = new Broadcast(`${url}?creds=${file}&timeout=20s`);
    const subscription = await broadcast.subscribe("x");
    const reason = new Promise<string>((resolve) =>
      broadcast.addEventListener("statechange", ({ state, error }) => {
        if (state === "reconnecting") resolve(String((error as Error).cause));
      })
    );
    await broadcast.publish("x", "before");
    assertEquals((await reason).includes("Expired"), true);
    const back = state(broadcast, "connected");
    await Deno.writeTextFile(file, issuer.credentials());
    await back;
    await broadcast.publish("x", "after");
    assertEquals(await messages(subscription, 2), ["before", "after"]);
  });
}

withBroker("nats", () => {
  credentials("nats");
  credentials("nats-stream");
});
