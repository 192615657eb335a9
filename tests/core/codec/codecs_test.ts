/** Whatever a codec takes arrives unchanged, and what a stranger sends does no harm. */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { msgpack } from "../../../core/codec/msgpack.ts";
import { Broadcast, bytes, type Codec, compressed, encrypted, json, text } from "../../../mod.ts";
import { messages, take } from "../../conformance/harness.ts";
import { anyValue, Random } from "../../conformance/random.ts";

const CHANNEL = "codecs";
const ROUNDS = 300;
const KEY = new Uint8Array(32).fill(7);
const KEYS = { current: "now", keys: { now: KEY } };

/** Every codec for values, alone and wrapped in each way. */
const CODECS: Record<string, () => Codec<unknown>> = {
  json,
  msgpack,
  compressed: () => compressed(json(), { above: 20 }),
  encrypted: () => encrypted(msgpack(), KEYS),
  both: () => encrypted(compressed(msgpack(), { above: 20 }), KEYS),
};

for (const [name, make] of Object.entries(CODECS)) {
  Deno.test(`${name}: any value makes the trip unchanged, in its order`, async () => {
    await using broadcast = new Broadcast("memory://?history=10000", { codec: make() });
    const subscription = await broadcast.subscribe(CHANNEL);
    const random = new Random(Math.floor(Math.random() * 2 ** 31));
    const values = Array.from({ length: ROUNDS }, () => anyValue(random));
    await Promise.all(values.map((value) => broadcast.publish(CHANNEL, value)));
    assertEquals(await messages(subscription, ROUNDS), values);
    const past = await broadcast.history(CHANNEL, { limit: ROUNDS });
    assertEquals(past.map(({ message }) => message), values);
  });

  Deno.test(`${name}: what a stranger sends is reported and skipped, in no time`, async () => {
    const codec = make();
    const seen: unknown[] = [];
    await using broadcast = new Broadcast("memory://", { codec: strangers(codec) });
    broadcast.addEventListener("messageerror", ({ error }) => seen.push(error));
    const subscription = await broadcast.subscribe(CHANNEL);
    const payloads = hostile();
    for (const payload of payloads) await broadcast.publish(CHANNEL, payload);
    await broadcast.publish(CHANNEL, await codec.encode("last", CHANNEL) as Uint8Array);
    let harmless = 0;
    for await (const { message } of subscription) {
      if (message === "last") break;
      harmless++;
    }
    // Some random bytes are a number, say; whatever is not is told.
    assertEquals(harmless + seen.length, payloads.length);
    assert(seen.length > payloads.length / 2);
  });
}

Deno.test("msgpack: bytes, dates and 64-bit integers arrive as what they are", async () => {
  await using broadcast = new Broadcast("memory://", { codec: msgpack() });
  const subscription = await broadcast.subscribe(CHANNEL);
  const value = {
    bytes: Uint8Array.of(0xc1, 0, 255),
    date: new Date(1_700_000_000_123),
    large: [2n ** 64n - 1n, -(2n ** 63n), 5n],
    time: 1_700_000_000_123,
    left: undefined,
  };
  await broadcast.publish(CHANNEL, value);
  const { left: _, ...rest } = value;
  assertEquals(await messages(subscription, 1), [rest]);
});

Deno.test("msgpack: what would arrive as something else is refused", () => {
  const refused: [unknown, string][] = [
    [undefined, "it is, or has, undefined"],
    [() => 1, "it is, or has, a function"],
    [[Symbol("s")], "it is, or has, a symbol"],
    [{ map: new Map() }, "it is, or has, a Map"],
    [new (class Point {})(), "it is, or has, a Point"],
    [new Date(NaN), "it is, or has, an invalid Date"],
    ["\ud800", "it has a lone surrogate"],
    [{ "\udc00": 1 }, "it has a lone surrogate"],
    [2n ** 64n, "it has a bigint of more than 64 bits"],
    [JSON.parse('{ "__proto__": 1 }'), 'it has a key "__proto__"'],
    [nested(101), "it is more than 100 deep"],
  ];
  for (const [value, reason] of refused) {
    const { message } = assertThrows(() => msgpack().encode(value), TypeError);
    assertEquals(message, `Cannot encode message as MessagePack: ${reason}`);
  }
  assertEquals(msgpack().decode(msgpack().encode(nested(100))), nested(100));
});

Deno.test("msgpack: -0 and NaN arrive as what they are, beside everything else", () => {
  const codec = msgpack<unknown>();
  const value = { zeros: [-0, 0, 1, -1, 2 ** 53 - 1, NaN, 1.5], big: 5n, at: new Date(1) };
  const decoded = codec.decode(codec.encode(value)) as typeof value;
  assertEquals(decoded.zeros.map((number) => Object.is(number, -0)), [
    true,
    ...Array(6).fill(false),
  ]);
  assertEquals(decoded, value);
  assert(Object.is(codec.decode(codec.encode(-0)), -0));
});

Deno.test("msgpack: more than a million values are refused before anything is built", () => {
  const codec = msgpack<unknown>();
  const most = Array(999_999).fill(0);
  assertEquals((codec.decode(codec.encode(most)) as unknown[]).length, 999_999);
  assertThrows(() => codec.encode([...most, 0]), RangeError, "it has more than 1000000 values");
  // Ten million empty objects: ten megabytes, and 640 of memory.
  const bomb = new Uint8Array(10_000_005).fill(0x80);
  bomb.set([0xdd, 0x00, 0x98, 0x96, 0x80]);
  const started = performance.now();
  assertThrows(() => codec.decode(bomb), RangeError, "it has more than 1000000 values");
  assert(performance.now() - started < 1_000);
});

Deno.test("json: a lone surrogate makes the trip, what has no JSON is refused", async () => {
  await using broadcast = new Broadcast("memory://", { codec: json() });
  const subscription = await broadcast.subscribe(CHANNEL);
  await broadcast.publish(CHANNEL, ["\ud800", "\u0000\u2028"]);
  assertEquals(await messages(subscription, 1), [["\ud800", "\u0000\u2028"]]);
  for (const value of [undefined, () => 1, 1n, Symbol("s")]) {
    await assertRejects(() => broadcast.publish(CHANNEL, value), TypeError);
  }
});

Deno.test("compressed: shorter where that pays, and left alone where it does not", async () => {
  const codec = compressed(text());
  const long = "abc".repeat(10_000);
  const short = await codec.encode(long, CHANNEL) as Uint8Array;
  assert(short.length < long.length / 50);
  assertEquals(await codec.decode(short, CHANNEL), long);
  assertEquals(await codec.encode("x".repeat(1_024), CHANNEL), "x".repeat(1_024));
  const noise = crypto.getRandomValues(new Uint8Array(5_000));
  assertEquals(await compressed(bytes()).encode(noise, CHANNEL), noise);
});

Deno.test("compressed: bytes that look as if they were wrapped arrive as they are", async () => {
  const codec = compressed(bytes());
  for (const tricky of [[0xc1], [0xc1, 0x7a, 1, 2], [0xc1, 0xc1, 0x3d], [0x3d]]) {
    const sent = Uint8Array.from(tricky);
    assertEquals(await codec.decode(await codec.encode(sent, CHANNEL), CHANNEL), sent);
  }
});

Deno.test("compressed: subscribers that have it read publishers that have it not yet", async () => {
  assertEquals(await compressed(json()).decode('{"a":1}', CHANNEL), { a: 1 });
  const upgraded = encrypted(json(), { ...KEYS, plain: true });
  assertEquals(await upgraded.decode('{"a":1}', CHANNEL), { a: 1 });
});

Deno.test("compressed: a bomb goes off below the limit", async () => {
  const large = compressed(bytes(), { limit: 64 * 1024 * 1024 });
  const bomb = await large.encode(new Uint8Array(64 * 1024 * 1024), CHANNEL);
  assert((bomb as Uint8Array).length < 100_000);
  const { message } = await assertRejects(
    async () => await compressed(bytes(), { limit: 1_000_000 }).decode(bomb, CHANNEL),
    RangeError,
  );
  assertEquals(message, "Cannot decompress payload: it has more than 1000000 bytes");
});

Deno.test("compressed: what subscribers would refuse is refused at publish", async () => {
  await using broadcast = new Broadcast("memory://", { codec: compressed(bytes()) });
  const limit = 16 * 1024 * 1024;
  const subscription = await broadcast.subscribe(CHANNEL);
  const { message } = await assertRejects(
    () => broadcast.publish(CHANNEL, new Uint8Array(limit + 1)),
    RangeError,
  );
  assertEquals(message, "Cannot compress message: it has 16777217 bytes, the limit is 16777216");
  await broadcast.publish(CHANNEL, new Uint8Array(limit));
  const [largest] = await messages(subscription, 1) as Uint8Array[];
  assertEquals(largest!.length, limit);
});

Deno.test("compressed: an option that is no number of bytes is refused at once", () => {
  for (const options of [{ limit: 0 }, { limit: NaN }, { above: -1 }, { above: "1" as never }]) {
    assertThrows(() => compressed(text(), options), RangeError, "Cannot compress messages: option");
  }
});

Deno.test("encrypted: the payload tells nothing, not even that two messages are the same", async () => {
  const codec = encrypted(text(), KEYS);
  const [one, other] = [
    await codec.encode("secret", CHANNEL),
    await codec.encode("secret", CHANNEL),
  ];
  const latin = new TextDecoder("latin1");
  assert(!latin.decode(one as Uint8Array).includes("secret"));
  assert(latin.decode(one as Uint8Array) !== latin.decode(other as Uint8Array));
});

Deno.test("encrypted: what is altered, moved, or of an unknown key is told", async () => {
  const codec = encrypted(text(), KEYS);
  const payload = await codec.encode("secret", CHANNEL) as Uint8Array;
  const altered = 'it was not encrypted for this channel with key "now", or it was altered';
  for (let at = 0; at < payload.length; at++) {
    const changed = payload.slice();
    changed[at]! ^= 1;
    await assertRejects(async () => await codec.decode(changed, CHANNEL), Error);
  }
  const decoding = (payload: Uint8Array | string, channel: string, keys = KEYS) => async () =>
    await encrypted(text(), keys).decode(payload, channel);
  const failures: [() => Promise<unknown>, string][] = [
    [decoding(payload, "other"), altered],
    [decoding(payload.subarray(0, 20), CHANNEL), altered],
    [decoding("plain", CHANNEL), "it is not encrypted"],
    [
      decoding(payload, CHANNEL, { current: "b", keys: { b: KEY } } as never),
      'there is no key "now"',
    ],
  ];
  for (const [decode, reason] of failures) {
    const { message } = await assertRejects(decode, Error);
    assertEquals(message, `Cannot decrypt payload: ${reason}`);
  }
});

Deno.test("encrypted: keys rotate without a message lost", async () => {
  const [old, next] = [new Uint8Array(16).fill(1), new Uint8Array(32).fill(2)];
  const both = { old, next };
  const before = encrypted(text(), { current: "old", keys: { old } });
  const between = encrypted(text(), { current: "old", keys: both });
  const after = encrypted(text(), { current: "next", keys: both });
  const own = await crypto.subtle.importKey("raw", next, "AES-GCM", false, ["encrypt", "decrypt"]);
  const last = encrypted(text(), { current: "next", keys: { next: own } });
  assertEquals(await between.decode(await before.encode("1", CHANNEL), CHANNEL), "1");
  assertEquals(await between.decode(await after.encode("2", CHANNEL), CHANNEL), "2");
  assertEquals(await last.decode(await after.encode("3", CHANNEL), CHANNEL), "3");
  await assertRejects(async () => await last.decode(await before.encode("4", CHANNEL), CHANNEL));
});

Deno.test("encrypted: what is no key is refused at once", () => {
  const make = (current: string, keys: Record<string, Uint8Array>) => () =>
    encrypted(text(), { current, keys });
  const refused: [() => unknown, string][] = [
    [make("a", {}), 'Cannot encrypt messages: there is no key "a"'],
    [
      make("a", { a: new Uint8Array(5) }),
      'Cannot use key "a": it has 5 bytes, an AES key has 16, 24 or 32',
    ],
    [
      make("x".repeat(256), { ["x".repeat(256)]: KEY }),
      `Cannot use key "${"x".repeat(100)}…": its id has 256 bytes, the limit is 255`,
    ],
  ];
  for (const [make, message] of refused) {
    assertEquals(assertThrows(make, TypeError).message, message);
  }
});

Deno.test("a codec that takes its time keeps the order, and disconnect() waits for it", async () => {
  const waiting: (() => void)[] = [];
  const slow: Codec<string> = {
    name: "slow",
    encode: (message) =>
      message === "at once"
        ? message
        : new Promise((resolve) => waiting.push(() => resolve(message))),
    decode: (payload) => Promise.resolve(text().decode(payload)),
  };
  const broadcast = new Broadcast("memory://", { codec: slow });
  const subscription = await broadcast.subscribe(CHANNEL);
  const published = ["1", "2", "at once"].map((message) => broadcast.publish(CHANNEL, message));
  const heard = take(subscription, 3);
  const disconnected = broadcast.disconnect();
  for (const resolve of waiting.reverse()) resolve();
  const ids = await Promise.all(published);
  await disconnected;
  assertEquals(ids.filter(Boolean).length, 3);
  const events = await heard;
  assertEquals(events.map(({ message }) => message), ["1", "2", "at once"].slice(0, events.length));
});

Deno.test("a codec that fails, early or late, fails its own message and no other", async () => {
  const codec: Codec<string> = {
    name: "picky",
    encode: (message) => {
      if (message === "early") throw new TypeError("too early");
      return message === "late"
        ? Promise.reject(new TypeError("too late"))
        : Promise.resolve(message);
    },
    decode: (payload) => {
      const message = text().decode(payload);
      return message === "undecodable" ? Promise.reject(new Error("no")) : Promise.resolve(message);
    },
  };
  await using broadcast = new Broadcast("memory://", { codec });
  const errors: unknown[] = [];
  broadcast.addEventListener("messageerror", ({ error }) => errors.push(String(error)));
  const subscription = await broadcast.subscribe(CHANNEL);
  const outcomes = await Promise.allSettled(
    ["1", "early", "late", "undecodable", "2"].map((one) => broadcast.publish(CHANNEL, one)),
  );
  assertEquals(outcomes.map(({ status }) => status), [
    "fulfilled",
    "rejected",
    "rejected",
    "fulfilled",
    "fulfilled",
  ]);
  assertEquals(await messages(subscription, 2), ["1", "2"]);
  assertEquals(errors, ["Error: no"]);
});

/** Publishes payloads as they are, and decodes as a codec does. */
function strangers(codec: Codec<unknown>): Codec<unknown> {
  return { name: "stranger", encode: (payload) => payload as Uint8Array, decode: codec.decode };
}

/** Random bytes, and bytes that ask for more than they are. */
function hostile(): Uint8Array[] {
  const random = Array.from({ length: 50 }, () => {
    const noise = crypto.getRandomValues(new Uint8Array(1 + Math.random() * 200));
    // What no text begins with, so that most are wrong for each codec.
    if (Math.random() < 0.5) noise[0] = 0xc1;
    return noise;
  });
  const asText = [
    "9".repeat(400) + "x",
    '{"__proto__":',
    "[".repeat(200_000),
  ].map((one) => new TextEncoder().encode(one));
  const claims = [
    [0xdd, 0xff, 0xff, 0xff, 0xff],
    [0xdf, 0x7f, 0xff, 0xff, 0xff],
    [0xc6, 0xff, 0xff, 0xff, 0xff],
    [0xc1],
    [0xc1, 0x7a],
    [0xc1, 0x65, 0xff],
    ...[[...Array(200_000).fill(0x91)], Array(1_000).fill([0xdd, 0, 0x0f, 0x42, 0x40]).flat()],
  ].map((one) => Uint8Array.from(one));
  return [...random, ...asText, ...claims];
}

function nested(depth: number): unknown {
  return depth === 0 ? 1 : [nested(depth - 1)];
}

Deno.test("encrypted() keeps its own copy of a key: the caller may wipe the bytes", async () => {
  const key = crypto.getRandomValues(new Uint8Array(32));
  const copy = key.slice();
  const codec = encrypted(json(), { current: "1", keys: { "1": key } });
  key.fill(0);
  const payload = await codec.encode({ pin: 1234 }, "c");
  const same = encrypted(json(), { current: "1", keys: { "1": copy } });
  assertEquals(await same.decode(payload, "c"), { pin: 1234 });
  const zeros = encrypted(json(), { current: "1", keys: { "1": new Uint8Array(32) } });
  await assertRejects(async () => void await zeros.decode(payload, "c"), Error, "Cannot decrypt");
});

Deno.test("encrypted() copies every key of the ring, not the current one alone", async () => {
  const [old, next] = [new Uint8Array(16).fill(1), new Uint8Array(32).fill(2)];
  const sent = await encrypted(text(), { current: "old", keys: { old } }).encode("m", "c");
  const ring = { old: old.slice(), next: next.slice() };
  const codec = encrypted(text(), { current: "next", keys: ring });
  for (const key of Object.values(ring)) key.fill(0);
  assertEquals(await codec.decode(sent, "c"), "m");
  const both = encrypted(text(), { current: "next", keys: { old, next } });
  assertEquals(await both.decode(await codec.encode("n", "c"), "c"), "n");
});

Deno.test("a CryptoKey that cannot do its work is refused at once", async () => {
  const raw = new Uint8Array(32);
  const importKey = (algorithm: "AES-GCM" | "AES-CBC", usage: "encrypt" | "decrypt") =>
    crypto.subtle.importKey("raw", raw, algorithm, false, [usage]);
  const [cbc, encrypting, decrypting] = await Promise.all([
    importKey("AES-CBC", "encrypt"),
    importKey("AES-GCM", "encrypt"),
    importKey("AES-GCM", "decrypt"),
  ]);
  const hmac = await crypto.subtle.generateKey({ name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  const refused: [Record<string, CryptoKey>, string][] = [
    [{ a: cbc }, 'Cannot use key "a": it must be for AES-GCM, it is for AES-CBC'],
    [{ a: hmac }, 'Cannot use key "a": it must be for AES-GCM, it is for HMAC'],
    [
      { a: decrypting },
      'Cannot use key "a": it must be imported with the usage "encrypt", it has decrypt',
    ],
    [
      { a: encrypting, b: encrypting },
      'Cannot use key "b": it must be imported with the usage "decrypt", it has encrypt',
    ],
  ];
  for (const [keys, message] of refused) {
    const make = () => encrypted(text(), { current: "a", keys });
    assertEquals(assertThrows(make, TypeError).message, message);
  }
  const publisher = encrypted(text(), { current: "a", keys: { a: encrypting } });
  const subscriber = encrypted(text(), { current: "b", keys: { a: decrypting, b: raw } });
  assertEquals(await subscriber.decode(await publisher.encode("m", "c"), "c"), "m");
});

Deno.test("what is no key is refused at once, by its kind", () => {
  for (const key of ["text", null, 1, [1, 2], new ArrayBuffer(32)]) {
    const keys = { current: "1", keys: { "1": key as unknown as Uint8Array } };
    assertThrows(() => encrypted(json(), keys), TypeError, 'Cannot use key "1"');
  }
});
