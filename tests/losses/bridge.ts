/** Two MQTT servers with a bridge between them, which is down for a while. */

import mqtt from "mqtt";
import { end } from "../../backends/mqtt/link.ts";
import { start } from "../services/mqtt.ts";
import { Proxy } from "../services/proxy.ts";
import { drops } from "./dropping.ts";

/** A bridge carries the numbers of messages if it speaks MQTT 5, which is not its default. */
export function overBridges(): void {
  for (const [version, isCounted] of [["mqttv50", true], ["mqttv311", false]] as const) {
    const what = isCounted ? "is counted as what a server drops" : "is lost, whoever publishes";
    Deno.test(`mqtt: what a bridge that speaks ${version} drops ${what}`, async () => {
      await using near = await start();
      await using bridge = await Proxy.start(near.port);
      await using far = await start({
        config: [
          "connection bridge",
          `address 127.0.0.1:${bridge.port}`,
          `bridge_protocol_version ${version}`,
          "topic # in 0",
          "cleansession true",
          "restart_timeout 1",
        ].join("\n"),
      });
      const stranger = await mqtt.connectAsync(near.url, { protocolVersion: 4 });
      await drops({
        slow: far.url,
        quick: near.url,
        foreign: (channel, message) => stranger.publishAsync(channel, message, { qos: 1 }),
        begin: () => {
          bridge.refuse();
          bridge.cut();
        },
        end: () => bridge.accept(),
        count: 20,
        isCounted,
      });
      await end(stranger);
    });
  }
}
