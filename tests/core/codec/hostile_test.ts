/** Bytes of a stranger: each codec reports or decodes them, and spends a bounded amount on them. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { memoryUsage } from "node:process";
import { constants, createDeflate } from "node:zlib";
import { z } from "npm:zod@^4.1.0";
import { msgpack } from "../../../core/codec/msgpack.ts";
import { checked } from "../../../core/codec/schema.ts";
import {
  Broadcast,
  bytes,
  type Codec,
  compressed,
  encrypted,
  json,
  text,
  ValidationError,
} from "../../../mod.ts";
import { messages } from "../../conformance/harness.ts";
import { anyValue, Random } from "../../conformance/random.ts";

const CHANNEL = "c";
const KEYS = { current: "k", keys: { k: new Uint8Array(32).fill(7) } };
const small = { above: 8 };
/** One run of the fuzzer; a failure names its seed. */
const SEEDS = [1, 2, 3, 4];
const ROUNDS = 80;

/** Every codec, alone, wrapped in each way, and with a schema around it. */
const CODECS: Record<string, Codec<unknown>> = {
  text: text() as Codec<unknown>,
  json: json(),
  bytes: bytes() as Codec<unknown>,
  msgpack: msgpack(),
  "compressed json": compressed(json(), small),
  "compressed msgpack": compressed(msgpack(), small),
  "encrypted msgpack": encrypted(msgpack(), KEYS),
  "encrypted compressed json": encrypted(compressed(json(), small), KEYS),
  "plain encrypted compressed msgpack": encrypted(compressed(msgpack(), small), {
    ...KEYS,
    plain: true,
  }),
};
const schema = z.object({ a: z.array(z.unknown()), b: z.record(z.string(), z.string()) });

for (const [name, codec] of Object.entries(CODECS)) {
  Deno.test(`${name}: hostile bytes are reported or decoded, and what follows them arrives`, async () => {
    for (const seed of SEEDS) {
      const random = new Random(seed);
      const payloads = await craft(codec, random);
      const errors = await run(codec, payloads);
      for (const error of errors) {
        assert(error instanceof Error, `seed ${seed}: ${error}`);
        assert(error.message.length < 1_000, `seed ${seed}: ${error.message}`);
        assert(!/\p{Cc}/u.test(error.message), `seed ${seed}: ${JSON.stringify(error.message)}`);
      }
    }
  });

  if (name === "text" || name === "bytes") continue;
  Deno.test(`${name}: a schema around it accepts nothing else from hostile bytes`, async () => {
    const around = checked(codec, { [CHANNEL]: schema });
    const value = { a: [1, "two"], b: { ["a\u0007".repeat(300)]: "c" } };
    for (const seed of SEEDS) {
      const random = new Random(seed);
      const payloads = await craft(codec, random, value);
      payloads.push(
        await codec.encode({ a: 1, b: { ["\u001b[31m".repeat(9_999)]: 1 } }, CHANNEL) as Uint8Array,
      );
      const errors = await run(around, payloads, { a: ["sane"], b: {} });
      const [last] = errors.slice(-1);
      assert(last instanceof ValidationError, `${last}`);
      assert(last.message.length < 1_000 && !/\p{Cc}/u.test(last.message), last.message);
    }
  });
}

/** Publishes payloads as they are; resolves with the errors that a subscriber reports. */
async function run(
  codec: Codec<unknown>,
  payloads: (Uint8Array | string)[],
  sane: unknown = "sane",
): Promise<unknown[]> {
  const stranger: Codec<unknown> = { ...codec, encode: (payload) => payload as Uint8Array };
  const errors: unknown[] = [];
  await using broadcast = new Broadcast("memory://?history=0", { codec: stranger });
  broadcast.addEventListener("messageerror", ({ error }) => errors.push(error));
  const subscription = await broadcast.subscribe(CHANNEL);
  const last = await codec.encode(
    codec.name === "bytes" ? new Uint8Array([1, 2, 3]) : sane,
    CHANNEL,
  );
  const isLast = (message: unknown) =>
    codec.name === "bytes"
      ? `${message}` === "1,2,3"
      : JSON.stringify(message) === JSON.stringify(sane);
  for (const payload of payloads) {
    // The mark of an end cannot be published like this.
    await broadcast.publish(CHANNEL, payload).catch((error) => assert(error instanceof TypeError));
  }
  await broadcast.publish(CHANNEL, last);
  for await (const { message } of subscription) if (isLast(message)) break;
  return errors;
}

/** Random bytes, and payloads of the codec that are cut, lengthened, or have bits flipped. */
async function craft(
  codec: Codec<unknown>,
  random: Random,
  value?: unknown,
): Promise<Uint8Array[]> {
  const payloads: Uint8Array[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const noise = Uint8Array.from({ length: random.below(64) }, () => random.below(256));
    // What each kind of payload begins with.
    const [first, second] = [
      random.of([0xc1, 0xdd, 0x7b, 0x91]),
      random.of([0x7a, 0x65, 0x73, 0x3d, 0x2e]),
    ];
    if (noise.length > 2 && random.once(2)) noise.set([first!, second!]);
    payloads.push(noise);
    const message = codec.name === "text"
      ? `${random.below(10 ** 6)}`
      : codec.name === "bytes"
      ? noise
      : value ?? anyValue(random);
    const real = await codec.encode(message, CHANNEL);
    const whole = typeof real === "string" ? new TextEncoder().encode(real) : real;
    payloads.push(whole.slice(0, random.below(whole.length + 1)));
    payloads.push(Uint8Array.from([...whole, ...noise]));
    const flipped = whole.slice();
    if (flipped.length > 0) flipped[random.below(flipped.length)]! ^= 1 << random.below(8);
    payloads.push(flipped);
  }
  return payloads;
}

/** A zlib stream of zeros that never ends: 16 MiB of them in each 16 KiB. */
async function bombOf(blocks: number): Promise<Uint8Array<ArrayBuffer>> {
  const stream = createDeflate();
  const chunks: Uint8Array[] = [];
  stream.on("data", (chunk: Uint8Array) => chunks.push(chunk));
  const block = async () => {
    const from = chunks.length;
    await new Promise<void>((resolve) =>
      stream.write(
        new Uint8Array(16 * 1024 * 1024),
        () => stream.flush(constants.Z_FULL_FLUSH, () => resolve()),
      )
    );
    return chunks.slice(from);
  };
  const [first, next] = [await block(), await block()];
  stream.destroy();
  const parts = [Uint8Array.of(0xc1, 0x7a), ...first, ...Array(blocks).fill(next).flat()];
  return new Uint8Array(await new Blob(parts as Uint8Array<ArrayBuffer>[]).arrayBuffer());
}

Deno.test("three megabytes that expand to three gigabytes cost little memory and time", async () => {
  const bomb = await bombOf(190);
  assert(bomb.length > 3_000_000 && bomb.length < 3_300_000, `${bomb.length}`);
  const before = memoryUsage().rss;
  const started = performance.now();
  let worst = 0;
  let last = started;
  const ticking = setInterval(() => {
    worst = Math.max(worst, performance.now() - last);
    last = performance.now();
  }, 5);
  try {
    const decoding = async () => await compressed(json()).decode(bomb, CHANNEL);
    await assertRejects(decoding, RangeError, "it has more than 16777216 bytes");
    worst = Math.max(worst, performance.now() - last);
    assert(memoryUsage().rss - before < 200_000_000, `${memoryUsage().rss - before} bytes`);
    assert(performance.now() - started < 5_000, `${performance.now() - started} ms`);
    assert(worst < 2_000, `${worst} ms without a turn`);
  } finally {
    clearInterval(ticking);
  }
});

Deno.test("a message over maxMessage is refused at publish, and reported where it arrives", async () => {
  const codecs: Record<string, Codec<unknown>> = { json: json(), msgpack: msgpack() };
  for (const [name, codec] of Object.entries(codecs)) {
    let decoded = 0;
    const counting: Codec<unknown> = {
      ...codec,
      decode: (payload, channel) => (decoded++, codec.decode(payload, channel)),
    };
    const url = `memory://max-message-${name}`;
    await using small = new Broadcast(url, { codec: counting, maxMessage: 100 });
    await using large = new Broadcast(`${url}?maxMessage=1000000`, { codec });
    const errors: unknown[] = [];
    small.addEventListener("messageerror", ({ error }) => errors.push(error));
    const subscription = await small.subscribe(CHANNEL);
    const { message } = await assertRejects(
      () => small.publish(CHANNEL, "x".repeat(200)),
      RangeError,
    );
    assertEquals(
      message.replace(/at least |\d+ bytes/g, ""),
      'Cannot publish to "c": the payload has , the limit is 100, see the option maxMessage',
    );
    await large.publish(CHANNEL, "x".repeat(200));
    await small.publish(CHANNEL, "m");
    assertEquals(await messages(subscription, 1), ["m"]);
    assertEquals([decoded, errors.length], [1, 1]);
    assert(errors[0] instanceof RangeError);
    assert(errors[0].message.startsWith("Cannot decode payload: the payload has"));
    assertEquals((await small.history(CHANNEL)).map(({ message }) => message), ["m"]);
  }
});

Deno.test("the bytes of a text count, not its characters", async () => {
  await using broadcast = new Broadcast("memory://", { maxMessage: 10 });
  for (const fits of ["x".repeat(10), "é".repeat(5), "漢".repeat(3)]) {
    await broadcast.publish(CHANNEL, fits);
  }
  for (const over of ["x".repeat(11), "é".repeat(6), "漢".repeat(4)]) {
    await assertRejects(() => broadcast.publish(CHANNEL, over), RangeError, "the limit is 10");
  }
});

Deno.test("maxMessage is 16 MiB by default, and no other value than a number of bytes", async () => {
  await using broadcast = new Broadcast("memory://");
  const limit = 16 * 1024 * 1024;
  await broadcast.publish(CHANNEL, "x".repeat(limit));
  await assertRejects(() => broadcast.publish(CHANNEL, "x".repeat(limit + 1)), RangeError);
  for (const maxMessage of [0, -1, NaN, "1" as never]) {
    try {
      new Broadcast("memory://", { maxMessage });
    } catch (error) {
      assert(error instanceof RangeError);
      continue;
    }
    assert(false, `${maxMessage}`);
  }
});
