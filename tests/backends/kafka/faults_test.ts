/** `kafka://`, while its connections and its server are lost. */

import { withBroker } from "../../services/broker.ts";
import { faults } from "../faults.ts";
import { KafkaRig } from "./rig.ts";

withBroker("kafka", () => faults("kafka", () => KafkaRig.start(), { shared: true, log: true }));
