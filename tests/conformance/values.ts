/**
 * Cases on random values: each one arrives unchanged, or is rejected by `publish()`.
 *
 * @module
 */

import assert from "node:assert/strict";
import { isBytes } from "../../core/util/realm.ts";
import { bytes, type Codec, compressed, encrypted, json, text } from "../../mod.ts";
import { type Suite, take } from "./harness.ts";
import { anyBytes, anyString, anyValue, Random } from "./random.ts";

/** The number of values for each codec. */
const ROUNDS = 100;

/** A codec to test. */
export interface Given {
  /** Creates the codec. */
  readonly codec: () => Codec<unknown>;
  /** Creates a random value for it. */
  readonly any: (random: Random) => unknown;
  /** `true` if its payloads are text, which every backend supports. */
  readonly isText?: boolean;
}

const keys = { current: "k", keys: { k: new Uint8Array(32).fill(7) } };

/** The codecs of the main module. */
const CODECS: Readonly<Record<string, Given>> = {
  text: { codec: () => text() as Codec<unknown>, any: anyString, isText: true },
  json: { codec: json, any: anyValue, isText: true },
  bytes: { codec: () => bytes() as Codec<unknown>, any: anyBytes },
  compressed: { codec: () => compressed(json(), { above: 20 }), any: anyValue },
  encrypted: { codec: () => encrypted(json(), keys), any: anyValue },
};

/** Registers the cases on each codec. */
export function values({ features, test }: Suite, codecs = CODECS): void {
  for (const [name, { codec, any, isText = false }] of Object.entries(codecs)) {
    if (!isText && !features.binary) continue;
    test(`whatever ${name} takes arrives unchanged, or is refused`, async ({ open, channel }) => {
      const seed = Math.floor(Math.random() * 2 ** 31);
      const random = new Random(seed);
      const given = Array.from({ length: ROUNDS }, () => any(random));
      const broadcast = open({ codec: codec() });
      const subscription = await broadcast.subscribe(channel);
      const outcomes = await Promise.allSettled(
        given.map((value) => broadcast.publish(channel, value)),
      );
      const accepted = given.filter((_, index) => outcomes[index]!.status === "fulfilled");
      for (const outcome of outcomes) {
        if (outcome.status === "fulfilled") continue;
        const { name } = outcome.reason as Error;
        assert.ok(/^(Type|Range)Error$/.test(name), `seed ${seed}: ${outcome.reason}`);
      }
      assert.ok(accepted.length > ROUNDS / 2, `seed ${seed}: ${accepted.length} are accepted`);
      const events = await take(subscription, accepted.length);
      assert.deepEqual(events.map(({ message }) => plain(message)), accepted, `seed ${seed}`);
      if (!features.log) return;
      const past = await broadcast.history(channel, { limit: ROUNDS });
      assert.deepEqual(past.map(({ message }) => plain(message)), accepted, `seed ${seed}`);
    });
  }
}

/** Converts bytes to a plain `Uint8Array`: some clients use a subclass. */
function plain(message: unknown): unknown {
  return isBytes(message) ? Uint8Array.from(message) : message;
}
