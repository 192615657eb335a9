/** `nats://`, while its connections and its server are lost. */

import { withBroker } from "../../../services/broker.ts";
import { start } from "../../../services/nats.ts";
import { Proxy } from "../../../services/proxy.ts";
import { faults } from "../../faults.ts";
import { Rig } from "../../rig.ts";

withBroker("nats", () =>
  faults("nats", async () => {
    const server = await start({ jetstream: false });
    return new Rig(server, await Proxy.start(server.port));
  }));
