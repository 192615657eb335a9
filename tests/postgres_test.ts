import { Broadcast } from "../mod.ts";
import { withBroker } from "./broker.ts";
import { conformance } from "./conformance.ts";

withBroker("postgres", (url) => {
  conformance(Deno.test, {
    name: "postgres",
    features: { crossProcess: true, binary: false },
    limit: 7_999,
    open: (options) => new Broadcast(url, options as never) as never,
  });
});
