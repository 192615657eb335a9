import { withBroker } from "./broker.ts";
import { conformance } from "./conformance.ts";
import { FEATURES } from "./features.ts";
import { uniqueChannel } from "./conformance/harness.ts";
import { faults, Rig } from "./faults.ts";
import { access } from "./nats/access.ts";
import { client } from "./nats/client.ts";
import { holes } from "./nats_stream/holes.ts";
import { Log } from "./nats_stream/log.ts";
import { keys } from "./nats_stream/keys.ts";
import { strangers } from "./nats_stream/strangers.ts";
import { Proxy } from "./proxy.ts";
import { removeStream, start } from "./services/nats.ts";

withBroker("nats", (url) => {
  const stream = uniqueChannel();

  conformance(Deno.test, {
    name: "nats-stream",
    features: FEATURES["nats-stream"],
    limit: 1_048_576,
    target: () => Log.url(url, stream),
  });

  Deno.test.afterAll(() => removeStream(url, stream));

  faults("nats-stream", async () => {
    const server = await start();
    return new Rig(server, await Proxy.start(server.port), "nats-stream");
  }, { log: true, keys: true });

  holes(url);
  keys(url);
  strangers(url);
  access("nats-stream");
  client("nats-stream");
});
