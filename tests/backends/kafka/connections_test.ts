/** A process opens two connections to each broker, however many channels it has. */

import { withBroker } from "../../services/broker.ts";
import { CHANNELS, use } from "../count_connections.ts";
import { KafkaRig } from "./rig.ts";

withBroker("kafka", () => {
  Deno.test(`kafka: ${CHANNELS} channels share 2 connections to each broker`, async () => {
    await using rig = await KafkaRig.start();
    await use(rig.url, rig.proxy, 2);
  });
});
