import { Broadcast } from "../mod.ts";
import { Address } from "../address.ts";
import { KafkaBackend } from "../backends/kafka.ts";
import { conformance } from "./conformance.ts";
const url = "kafka://" + (Deno.env.get("KAFKA") ?? "127.0.0.1:19078");
conformance(Deno.test, {
  name: "kafka " + url,
  features: { crossProcess: true, binary: true },
  limit: 1_000_000,
  open: (options: never) =>
    new Broadcast(new KafkaBackend(new Address(url)) as never, options) as never,
} as never);
