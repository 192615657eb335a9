/** `amqp-stream://`, while its connections and its server are lost. */

import { startWithStreams } from "../../../services/amqp.ts";
import { withBroker } from "../../../services/broker.ts";
import { Proxy } from "../../../services/proxy.ts";
import { faults } from "../../faults.ts";
import { Rig } from "../../rig.ts";

withBroker("amqp", () =>
  faults("amqp-stream", async () => {
    const server = await startWithStreams();
    return new Rig(server, await Proxy.start(server.port), "amqp-stream");
  }, {
    shared: true,
    patience: 360_000,
    log: true,
    // Killed a moment after a stream was declared, it has forgotten where that stream is: it answers
    // NOT_FOUND until the stream is deleted.
    death: "SIGTERM",
  }));
