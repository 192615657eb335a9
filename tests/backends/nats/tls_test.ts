/** TLS: whose certificate is accepted, and what the errors say to do. */

import { join } from "node:path";
import { assertEquals, assertRejects } from "@std/assert";
import { Broadcast, ConnectionError } from "../../../mod.ts";
import { messages } from "../../conformance/harness.ts";
import { withBroker } from "../../services/broker.ts";
import { certify } from "../../services/certificate.ts";
import { start } from "../../services/nats.ts";
import type { Server } from "../../services/server.ts";

/** A server with a certificate for some names, which is its own authority. */
async function secure(names: string, more = ""): Promise<{ server: Server; certificate: string }> {
  const folder = await Deno.makeTempDir();
  const { certificate, key } = await certify(folder, names);
  const server = await start({
    config: `tls { cert_file: "${certificate}", key_file: "${key}", ${more} }`,
  });
  // The server has read them, and its folder goes with it.
  const copy = join(server.directory, "ca.pem");
  await Deno.copyFile(certificate, copy);
  await Deno.remove(folder, { recursive: true });
  return { server, certificate: copy };
}

function tls(scheme: "nats" | "nats-stream"): void {
  Deno.test(`${scheme}: a certificate is checked against the host as it is written`, async () => {
    for (
      const [names, right, wrong] of [
        ["IP:127.0.0.1", "127.0.0.1", "localhost"],
        ["DNS:localhost", "localhost", "127.0.0.1"],
      ]
    ) {
      const { server, certificate } = await secure(names!);
      await using _ = server;
      await using broadcast = new Broadcast(
        `${scheme}://${right}:${server.port}?ca=${certificate}`,
      );
      const subscription = await broadcast.subscribe("chatroom");
      await broadcast.publish("chatroom", "hello");
      assertEquals(await messages(subscription, 1), ["hello"]);
      await using other = new Broadcast(`${scheme}://${wrong}:${server.port}?ca=${certificate}`);
      await assertRejects(
        () => other.connect(),
        ConnectionError,
        "certificate is for another host, use one that it names",
      );
    }
  });

  Deno.test(`${scheme}: an authority that is not trusted is an error that names ?ca=`, async () => {
    const { server } = await secure("IP:127.0.0.1,DNS:localhost");
    await using _ = server;
    for (const host of ["127.0.0.1", "localhost"]) {
      for (const query of ["", "?tls=true"]) {
        await using broadcast = new Broadcast(`${scheme}://${host}:${server.port}${query}`);
        await assertRejects(() => broadcast.connect(), ConnectionError, "give ?ca=");
      }
    }
  });

  Deno.test(`${scheme}: a server that asks for a certificate is an error that names ?cert=`, async () => {
    const folder = await Deno.makeTempDir();
    const { certificate } = await certify(folder);
    const { server, certificate: ca } = await secure(
      "DNS:localhost",
      `verify: true, ca_file: "${certificate}"`,
    );
    await using _ = server;
    await Deno.remove(folder, { recursive: true });
    await using broadcast = new Broadcast(`${scheme}://localhost:${server.port}?ca=${ca}`);
    await assertRejects(() => broadcast.connect(), ConnectionError, "?cert=");
  });

  Deno.test(`${scheme}: a server without TLS is an error that says what to leave out`, async () => {
    await using server = await start();
    await using broadcast = new Broadcast(`${server.url.replace("nats", scheme)}?tls=true`);
    await assertRejects(
      () => broadcast.connect(),
      ConnectionError,
      "the server has no TLS, leave out ?tls=, ?ca=, ?cert= and ?key=",
    );
  });
}

withBroker("nats", () => {
  tls("nats");
  tls("nats-stream");
});
