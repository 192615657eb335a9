/** Names of channels: their limit holds everywhere, and errors never show them raw. */

import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { MemoryBackend } from "../../../backends/memory/log.ts";
import { controlOf } from "../../../core/api/control.ts";
import type { Backend } from "../../../core/backend/contract.ts";
import { ConnectionError, RefusedError } from "../../../core/backend/errors.ts";
import { nameOf } from "../../../core/backend/name.ts";
import { Pattern } from "../../../core/backend/pattern.ts";
import { Broadcast, encrypted, json, text } from "../../../mod.ts";
import { z } from "npm:zod@^4.1.0";

const LIMIT = 2_048;
/** What a terminal obeys, and what nobody wants to read. */
const HOSTILE = `\u001b[2J\r\nINFO all is well\u202e\u2028\u0085${"x".repeat(1_900)}`;

Deno.test("a name or a pattern has at most 2,048 bytes, wherever it is given", async () => {
  await using broadcast = new Broadcast("memory://");
  for (const name of ["x".repeat(LIMIT), "é".repeat(LIMIT / 2)]) {
    const subscription = await broadcast.subscribe(name);
    await broadcast.publish(name, "m");
    assertEquals((await broadcast.history(name)).length, 1);
    await broadcast.subscribe({ pattern: name });
    await broadcast.writable(name).close();
    await subscription.close();
    const long = `${name}x`;
    const refused: Record<string, () => unknown> = {
      "publish to channel": () => broadcast.publish(long, "m"),
      "subscribe to channel": () => broadcast.subscribe(long),
      "subscribe to pattern": () => broadcast.subscribe({ pattern: long }),
      "read history of channel": () => broadcast.history(long),
      "write to channel": () => Promise.resolve().then(() => broadcast.writable(long)),
    };
    const several = () => broadcast.subscribe(["a", long]);
    const control = () => controlOf(broadcast).publish(long, "m");
    for (
      const [what, call] of [...Object.entries(refused), ["", several], ["", control]] as const
    ) {
      const { message } = await assertRejects(async () => void await call(), RangeError);
      assert(message.startsWith(`Cannot ${what}`), message);
      assert(message.endsWith('…": its name has 2049 bytes, the limit is 2048'), message);
      assert(message.length < 200, message);
    }
  }
});

Deno.test("names in messages are quoted, cut, and without what a terminal obeys", () => {
  assertEquals(nameOf("chatroom"), '"chatroom"');
  assertEquals(nameOf('a"b\\c'), '"a\\"b\\\\c"');
  assertEquals(nameOf("🎉 漢字"), '"🎉 漢字"');
  assertEquals(nameOf("\u001b[2J\u007f\u0085\u202e"), '"\\u001b[2J\\u007f\\u0085\\u202e"');
  assertEquals(nameOf("x".repeat(10_000)), `"${"x".repeat(100)}…"`);
  assertEquals(nameOf(`${"x".repeat(99)}🎉`), `"${"x".repeat(99)}…"`);
  assertEquals(nameOf({ pattern: "\n*" }), 'pattern "\\n*"');
  assertEquals(nameOf(new Pattern("\n*")), 'pattern "\\n*"');
  assertEquals(nameOf(["a", "b"]), '"a", "b"');
  assertMatch(nameOf(Array(32).fill("x")), /^("x", ){7}"x" and 24 more$/);
});

Deno.test("no error of the core shows a hostile name as it is", async () => {
  const name = HOSTILE;
  const backend = new Proxy(new MemoryBackend(), {
    get: (target, key) => {
      if (key === "publish") return () => Promise.reject(new RefusedError("no"));
      if (key === "read" || key === "tail") return () => Promise.reject(new RefusedError("no"));
      const value = Reflect.get(target, key);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  const lost = new Proxy(backend, {
    get: (target, key) => {
      if (key === "publish") return () => Promise.reject(new ConnectionError("no"));
      return Reflect.get(target, key);
    },
  });
  const without = { ...bare(backend), features: { crossProcess: false, binary: true } } as Backend;
  const key = { current: "k", keys: { k: new Uint8Array(32) } };
  const calls: ((broadcast: Broadcast) => unknown)[] = [
    (broadcast) => broadcast.publish(name, "m"),
    (broadcast) => broadcast.publish(name, 1 as never),
    (broadcast) => broadcast.publish(name, "m", { headers: { [name]: "a" } }),
    (broadcast) => broadcast.publish(name, "m", { headers: { a: name } }),
    (broadcast) => broadcast.publish(name, "m", { idempotencyKey: "" }),
    (broadcast) => broadcast.publish(name, "m", { idempotencyKey: name }),
    (broadcast) => broadcast.publish(name, "m", { idempotencyTtl: 1 }),
    (broadcast) => broadcast.publish(`${name}.-control`, "m"),
    (broadcast) => broadcast.subscribe(name),
    (broadcast) => broadcast.subscribe(name, { history: -1 }),
    (broadcast) => broadcast.subscribe(name, { onGap: name as never }),
    (broadcast) => broadcast.subscribe({ pattern: `${name}*` }),
    (broadcast) => broadcast.subscribe(["a", name], { history: NaN }),
    (broadcast) => broadcast.history(name),
    (broadcast) => broadcast.history(name, { limit: 0 }),
    (broadcast) => broadcast.history("c", { after: name }),
    (broadcast) => broadcast.history("c", { before: "x".repeat(100_000) }),
    (broadcast) => broadcast.writable(name, { end: 1 as never }),
    (broadcast) => broadcast.writable(name, { end: true }).close(),
  ];
  for (const target of [backend, lost, without]) {
    for (const call of calls) {
      await using broadcast = new Broadcast(target as Backend, { timeout: 10, maxMessage: 10 });
      await check(async () => void await call(broadcast));
    }
  }
  await using checked = new Broadcast("memory://", { channels: { [name]: z.string() } });
  await check(() => checked.publish(name, 1 as never));
  await check(() => checked.publish(`other ${name}`, "m" as never));
  await check(() => new Broadcast("memory://", { channels: { [name]: 1 as never } }));
  await check(() => encrypted(text(), { current: name, keys: {} }));
  await check(() => encrypted(text(), { current: name, keys: { [name]: new Uint8Array(1) } }));
  const sealed = await encrypted(text(), {
    current: name.slice(0, 250),
    keys: { [name.slice(0, 250)]: new Uint8Array(32) },
  }).encode("m", "c");
  await check(() => encrypted(text(), key).decode(sealed, "c"));
  await check(() => json().decode(`{ "a": ${name}`));
  await check(() => new Broadcast(`memory://?history=${encodeURIComponent(name)}`).connect());
  await check(() => text().encode({ constructor: { name } } as never));
});

/** Fails if the error has more than it should. A call that succeeds is none of this test's. */
async function check(call: () => unknown): Promise<void> {
  let message: string;
  try {
    await call();
    return;
  } catch (error) {
    assert(error instanceof Error, `${error}`);
    message = error.message;
  }
  // The names of schemas are the developer's own.
  const shown = message.replace(/, channels with a schema are .*$/s, "");
  assert(!/[\p{Cc}\p{Cf}\p{Zl}]/u.test(shown), JSON.stringify(shown));
  assert(shown.length < 600, `${shown.length}: ${shown}`);
}

/** The backend's methods, as a plain object. */
function bare(backend: Backend): Partial<Backend> {
  return {
    name: "bare",
    address: "bare://",
    publish: (messages) => backend.publish(messages),
    tail: (target) => backend.tail(target),
    close: () => Promise.resolve(),
  };
}

Deno.test("a name that is none is shown by its kind", () => {
  for (const name of [1, null, undefined, {}, ""]) {
    assertThrows(() => new Broadcast("memory://").writable(name as never), TypeError, "its name");
  }
});
