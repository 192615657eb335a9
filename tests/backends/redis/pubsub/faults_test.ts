/** `redis://`, while its connections and its server are lost. */

import { withBroker } from "../../../services/broker.ts";
import { Proxy } from "../../../services/proxy.ts";
import { start } from "../../../services/redis.ts";
import { faults } from "../../faults.ts";
import { Rig } from "../../rig.ts";

withBroker("redis", () =>
  faults("redis", async () => {
    const server = await start();
    return new Rig(server, await Proxy.start(server.port));
  }));
