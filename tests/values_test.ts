/** Codecs that the suite of the backends does not have, on every broker that was found. */

import { queueOf } from "../backends/amqp_stream/queue.ts";
import { type Codec, compressed, encrypted, json } from "../mod.ts";
import { msgpack } from "../msgpack.ts";
import { removeStreams } from "./amqp_stream/remove.ts";
import { type Harness, prepare } from "./conformance/harness.ts";
import { anyValue } from "./conformance/random.ts";
import { type Given, values } from "./conformance/values.ts";
import { harnesses } from "./node/harnesses.ts";
import { remove as removeKeys } from "./redis_stream/stream.ts";

const keys = { current: "k", keys: { k: new Uint8Array(32).fill(7) } };

const CODECS: Record<string, Given> = {
  msgpack: given(msgpack),
  "msgpack, compressed and encrypted,": given(() =>
    encrypted(compressed(msgpack(), { above: 20 }), keys)
  ),
  "json, encrypted and compressed,": given(() =>
    compressed(encrypted(json(), keys), { above: 20 })
  ),
};

for (const { url, limit = Infinity, ...data } of harnesses()) {
  const harness = { ...data, limit, target: () => url, clean: cleanerOf(data.name, url) };
  values(prepare(Deno.test, harness), CODECS);
}

function given(codec: () => Codec<unknown>): Given {
  return { codec, any: anyValue };
}

/** What each test leaves that does not go by itself. */
function cleanerOf(name: string, url: string): Harness["clean"] {
  const server = url.replace("-stream", "");
  if (name === "redis-stream") return (channels) => removeKeys(server, channels);
  if (name !== "amqp-stream") return undefined;
  return (channels) => removeStreams(server, channels.map((channel) => queueOf(channel, "/")));
}
