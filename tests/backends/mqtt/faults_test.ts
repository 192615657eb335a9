/** `mqtt://`, while its connections and its server are lost. */

import { withBroker } from "../../services/broker.ts";
import { start } from "../../services/mqtt.ts";
import { Proxy } from "../../services/proxy.ts";
import { faults } from "../faults.ts";
import { Rig } from "../rig.ts";

withBroker("mqtt", () =>
  faults("mqtt", async () => {
    const server = await start();
    return new Rig(server, await Proxy.start(server.port));
  }));
