/** A client that the user has. */

import { connect } from "@nats-io/transport-node";
import { assertEquals, assertRejects } from "@std/assert";
import { Broadcast, RefusedError } from "../../../mod.ts";
import { messages, take, uniqueChannel } from "../../conformance/harness.ts";
import { withBroker } from "../../services/broker.ts";
import { start } from "../../services/nats.ts";
import { Proxy } from "../../services/proxy.ts";
import { state } from "../rig.ts";

function client(scheme: "nats" | "nats-stream"): void {
  const hasLog = scheme === "nats-stream";

  Deno.test(`${scheme}: a client that the user has is used and never closed`, async () => {
    await using server = await start();
    const client = await connect({ servers: server.url });
    const channel = uniqueChannel();
    const broadcast = new Broadcast(`${scheme}://`, { client });
    const subscription = await broadcast.subscribe(channel);
    client.publish(hasLog ? `broadcaster.${channel}` : channel, "from the client");
    await client.flush();
    await broadcast.publish(channel, "from the broadcast");
    assertEquals(await messages(subscription, 2), ["from the client", "from the broadcast"]);
    await broadcast.disconnect();
    await client.flush();
    await client.close();
    await using late = new Broadcast(`${scheme}://`, { client });
    await assertRejects(() => late.connect(), RefusedError, "closed");
  });

  Deno.test(`${scheme}: what a client loses that reconnects by itself is no secret`, async () => {
    await using server = await start();
    await using proxy = await Proxy.start(server.port);
    await using other = new Broadcast(server.url.replace("nats", scheme));
    const client = await connect({ servers: `127.0.0.1:${proxy.port}`, reconnectTimeWait: 100 });
    const broadcast = new Broadcast(`${scheme}://`, { client });
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
    const events = await take(subscription, hasLog ? 2 : 1);
    assertEquals(
      events.map(({ message, gap }) => [message, gap?.cause]),
      hasLog ? [["meanwhile", undefined], ["after", undefined]] : [["after", "disconnect"]],
    );
    await broadcast.disconnect();
    await client.close();
  });
}

withBroker("nats", () => {
  client("nats");
  client("nats-stream");
});
