/** Codecs that the suite of the backends does not have, on every broker that was found. */

import { msgpack } from "../../core/codec/msgpack.ts";
import { type Codec, compressed, encrypted, json } from "../../mod.ts";
import { prepare } from "../conformance/harness.ts";
import { anyValue } from "../conformance/random.ts";
import { type Given, values } from "../conformance/values.ts";
import { LocatedHarnesses } from "./harnesses.ts";

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

const located = new LocatedHarnesses();
for (const harness of located.harnesses) values(prepare(Deno.test, harness), CODECS);
Deno.test.afterAll(() => located[Symbol.asyncDispose]());

function given(codec: () => Codec<unknown>): Given {
  return { codec, any: anyValue };
}
