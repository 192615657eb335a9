import { queueOf } from "../backends/amqp_stream/queue.ts";
import { endings } from "./amqp_stream/endings.ts";
import { headers } from "./amqp_stream/headers.ts";
import { holes } from "./amqp_stream/holes.ts";
import { pages } from "./amqp_stream/pages.ts";
import { removeStreams } from "./amqp_stream/remove.ts";
import { strangers } from "./amqp_stream/strangers.ts";
import { withBroker } from "./broker.ts";
import { conformance } from "./conformance.ts";
import { FEATURES } from "./features.ts";
import { faults, Rig } from "./faults.ts";
import { Proxy } from "./proxy.ts";
import { startWithStreams } from "./services/amqp.ts";

withBroker("amqp", (url) => {
  const stream = url.replace(/^[^:]*/, "amqp-stream");

  conformance(Deno.test, {
    name: "amqp-stream",
    features: FEATURES["amqp-stream"],
    limit: 16 * 1024 * 1024,
    target: () => stream,
    clean: (channels) => removeStreams(url, channels.map((channel) => queueOf(channel, "/"))),
  });

  faults("amqp-stream", async () => {
    const server = await startWithStreams();
    return new Rig(server, await Proxy.start(server.port), "amqp-stream");
  }, { shared: true, patience: 60_000, log: true });

  endings(url);
  headers(url);
  holes(url);
  pages(url);
  strangers(url);
});
