/** `postgres://`, while its connections and its server are lost. */

import { withBroker } from "../../../services/broker.ts";
import { start } from "../../../services/postgres.ts";
import { Proxy } from "../../../services/proxy.ts";
import { faults } from "../../faults.ts";
import { Rig } from "../../rig.ts";

withBroker("postgres", () =>
  faults("postgres", async () => {
    const server = await start();
    return new Rig(server, await Proxy.start(server.port));
  }));
