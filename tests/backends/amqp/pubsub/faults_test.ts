/** `amqp://`, while its connections and its server are lost. */

import { start } from "../../../services/amqp.ts";
import { withBroker } from "../../../services/broker.ts";
import { Proxy } from "../../../services/proxy.ts";
import { faults } from "../../faults.ts";
import { Rig } from "../../rig.ts";

withBroker("amqp", () =>
  faults("amqp", async () => {
    const server = await start();
    return new Rig(server, await Proxy.start(server.port));
  }, { shared: true, patience: 360_000 }));
