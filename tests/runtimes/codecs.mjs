/**
 * What each runtime makes of hostile bytes, of slow codecs, and of values of another realm: its own
 * zlib, timers and classes are at work. Prints how many cases have passed.
 */

import { Broadcast, bytes, compressed, encrypted, json, text } from "@broadcaster/broadcaster";
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import process from "node:process";
import { runInNewContext } from "node:vm";
import { constants, createDeflate, deflateSync } from "node:zlib";

const MIB = 1024 * 1024;
const LIMIT = 16 * MIB;
const codec = compressed(json(), { above: 8 });
const message = { cells: Array(1_000).fill("hello") };

const cases = {
  "a compressed message makes the trip": async () => {
    const payload = await codec.encode(message, "c");
    assert.ok(payload.length < 200, `${payload.length} bytes`);
    assert.deepEqual(await codec.decode(payload, "c"), message);
    const raw = await compressed(bytes()).decode(wrap(deflateSync(Buffer.from("hi"))), "c");
    // No part of a buffer that is shared, and no class of Node.
    assert.equal(Object.getPrototypeOf(raw), Uint8Array.prototype);
    assert.equal(raw.buffer.byteLength, 2);
  },
  "a truncated payload is an error, wherever it is cut": async () => {
    const payload = await codec.encode(message, "c");
    for (let length = 2; length < payload.length; length++) {
      await rejects(payload.slice(0, length), /^Cannot decompress payload: /);
    }
  },
  "a payload that goes on after its end is an error": async () => {
    const payload = await codec.encode(message, "c");
    for (const rest of [[0], [1, 2, 3], [...payload.slice(2)], Array(100_000).fill(7)]) {
      await rejects(
        Uint8Array.from([...payload, ...rest]),
        new RegExp(
          `^Cannot decompress payload: it goes on after its end, with ${rest.length} bytes$`,
        ),
      );
    }
  },
  "a payload with a wrong bit is an error, or the same message": async () => {
    const payload = await codec.encode(message, "c");
    let errors = 0;
    for (let at = 2; at < payload.length; at++) {
      const wrong = payload.slice();
      wrong[at] ^= 1 << at % 8;
      // Some bits mean nothing, such as those that fill the last byte before the checksum.
      const decoded = await codec.decode(wrong, "c").catch(() => errors++);
      if (typeof decoded === "object") assert.deepEqual(decoded, message);
    }
    assert.ok(errors > payload.length / 2, `${errors} of ${payload.length}`);
  },
  "random bytes are an error": async () => {
    let state = 1;
    const next = () => (state = Math.imul(state, 1_103_515_245) + 12_345 >>> 0) >>> 16;
    for (let round = 0; round < 100; round++) {
      await rejects(wrap(Uint8Array.from({ length: next() % 300 }, next)), /./);
    }
  },
  "three megabytes that expand to three gigabytes are an error, at little cost": async () => {
    const bomb = await bombOf(190);
    assert.ok(bomb.length > 3_000_000);
    const before = process.memoryUsage().rss;
    const started = performance.now();
    await rejects(bomb, /^Cannot decompress payload: it has more than 16777216 bytes$/);
    const [grown, took] = [process.memoryUsage().rss - before, performance.now() - started];
    assert.ok(grown < 200_000_000, `${grown} bytes`);
    assert.ok(took < 5_000, `${took} ms`);
  },
  "what is too large is refused at publish, and what just fits arrives": async () => {
    const broadcast = new Broadcast("memory://", { codec: compressed(bytes()) });
    const subscription = await broadcast.subscribe("c");
    await assert.rejects(broadcast.publish("c", new Uint8Array(LIMIT + 1)), RangeError);
    await broadcast.publish("c", new Uint8Array(LIMIT));
    for await (const event of subscription) {
      assert.equal(event.message.length, LIMIT);
      break;
    }
    await broadcast.disconnect();
  },
  "a message that is never encoded is rejected, and the others are published": async () => {
    const stuck = { ...text(), encode: (one) => one === "stuck" ? new Promise(() => {}) : one };
    const broadcast = new Broadcast("memory://?timeout=0", { codec: stuck });
    const late = assert.rejects(broadcast.publish("c", "stuck"), { name: "TimeoutError" });
    const behind = broadcast.publish("c", "behind");
    await broadcast.publish("other", "m");
    await Promise.all([late, behind]);
    await broadcast.disconnect();
  },
  "promises, bytes and keys of another realm are what they are": async () => {
    const foreign = (expression) => runInNewContext(`(${expression})`);
    const schema = (validate) => ({ "~standard": { version: 1, vendor: "test", validate } });
    const validate = foreign(`async () => ({ issues: [{ message: "no" }] })`);
    const checked = new Broadcast("memory://", { channels: { c: schema(validate) } });
    await assert.rejects(checked.publish("c", 1), { name: "ValidationError" });
    await checked.disconnect();
    const keys = { current: "k", keys: { k: foreign("new Uint8Array(32)") } };
    const broadcast = new Broadcast("memory://", { codec: encrypted(bytes(), keys) });
    const subscription = await broadcast.subscribe("c");
    await broadcast.publish("c", foreign("Uint8Array.of(1, 2)"));
    for await (const event of subscription) {
      assert.deepEqual([...event.message], [1, 2]);
      break;
    }
    await broadcast.disconnect();
  },
};

let passed = 0;
for (const [name, body] of Object.entries(cases)) {
  try {
    await body();
    passed++;
  } catch (error) {
    process.stdout.write(`FAILED ${name}: ${error.stack}\n`);
  }
}
process.stdout.write(`${passed} of ${Object.keys(cases).length} passed\n`);
process.exitCode = passed === Object.keys(cases).length ? 0 : 1;

async function rejects(payload, message) {
  await assert.rejects(async () => void await codec.decode(payload, "c"), { message });
}

/** A payload as `compressed()` wraps it. */
function wrap(deflated) {
  return Uint8Array.from([0xc1, 0x7a, ...deflated]);
}

/** A zlib stream of zeros that never ends: 16 MiB of them in each 16 KiB. */
async function bombOf(blocks) {
  const stream = createDeflate();
  const chunks = [];
  stream.on("data", (chunk) => chunks.push(chunk));
  const block = async () => {
    const from = chunks.length;
    await new Promise((resolve) =>
      stream.write(new Uint8Array(LIMIT), () => stream.flush(constants.Z_FULL_FLUSH, resolve))
    );
    return Buffer.concat(chunks.slice(from));
  };
  const [first, next] = [await block(), await block()];
  stream.destroy();
  return new Uint8Array(
    Buffer.concat([Uint8Array.of(0xc1, 0x7a), first, ...Array(blocks).fill(next)]),
  );
}
