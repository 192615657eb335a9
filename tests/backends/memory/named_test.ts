/** `memory://name` is one broker for all who open it in a process, gone 10 seconds after the last one. */

import { cp } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { assertEquals, assertRejects } from "@std/assert";
import { Broadcast, type BroadcastEvent, type Codec, text } from "../../../mod.ts";
import { messages, take, uniqueChannel } from "../../conformance/harness.ts";
import { succeed } from "../../runtimes/process.ts";
import { PROJECT } from "../../runtimes/tarball.ts";

/** Where every copy of the module finds the brokers. */
const BROKERS = Symbol.for("@broadcaster/broadcaster/memory/1");

/** A name that no other test uses. */
function uniqueUrl(parameters = ""): string {
  return `memory://${uniqueChannel()}${parameters}`;
}

/** Whether the broker of a URL is still held. */
function isHeld(url: string): boolean {
  const brokers = (globalThis as { [BROKERS]?: Map<string, unknown> })[BROKERS];
  return brokers?.has(url.replace("memory://", "")) ?? false;
}

/** The time that brokers go by, which passes when the test says so. */
class Clock implements Disposable {
  readonly #now = performance.now();
  readonly #waits: { readonly end: number; readonly resolve: () => void }[] = [];
  readonly #waitAsync = Atomics.waitAsync;
  #passed = 0;

  constructor() {
    performance.now = () => this.#now + this.#passed;
    Atomics.waitAsync = ((...[, , , milliseconds]: [unknown, unknown, unknown, number]) => ({
      async: true,
      value: new Promise<string>((resolve) =>
        this.#waits.push({
          end: this.#passed + milliseconds,
          resolve: () => resolve("timed-out"),
        })
      ),
    })) as typeof Atomics.waitAsync;
  }

  /** Lets time pass, and the timers that it ends do their work, unless they are to be late. */
  async pass(milliseconds: number, { late = false } = {}): Promise<void> {
    this.#passed += milliseconds;
    if (late) return;
    for (const { end, resolve } of this.#waits) if (end <= this.#passed) resolve();
    for (let turn = 0; turn < 5; turn++) await Promise.resolve();
  }

  [Symbol.dispose](): void {
    Atomics.waitAsync = this.#waitAsync;
    delete (performance as { now?: () => number }).now;
  }
}

Deno.test("what is published while a message is delivered follows it, for all of a name", async () => {
  const url = uniqueUrl();
  const { encode, decode } = text();
  const answering: Codec<string> = {
    name: "answering",
    encode,
    decode(payload) {
      const message = decode(payload);
      if (message === "question") void one.publish("chatroom", "answer");
      return message;
    },
  };
  await using one = new Broadcast(url);
  await using first = new Broadcast(url, { codec: answering });
  await using second = new Broadcast(url);
  const before = await first.subscribe("chatroom");
  const subscription = await second.subscribe("chatroom");
  const pattern = await second.subscribe({ pattern: "chat*" });
  await one.publish("chatroom", "question");
  for (const each of [before, subscription, pattern]) {
    assertEquals(await messages(each, 2), ["question", "answer"]);
  }
  const [{ id }] = await second.history("chatroom", { limit: 1 }) as [BroadcastEvent];
  assertEquals(id, (await one.history("chatroom")).at(-1)?.id);
});

Deno.test("two broadcasts of one name share events, logs, ids and keys", async () => {
  const url = uniqueUrl();
  await using one = new Broadcast(url);
  await using other = new Broadcast(new URL(url));
  const key = { idempotencyKey: "order 7" };
  const heard = await other.subscribe("orders");
  const pattern = await other.subscribe({ pattern: "ord*" });
  const id = await one.publish("orders", "first", key);
  await other.publish("orders", "second");
  assertEquals(await other.publish("orders", "again", key), id);
  assertEquals(await messages(heard, 2), ["first", "second"]);
  assertEquals(await messages(pattern, 2), ["first", "second"]);
  const past = await other.history("orders");
  assertEquals(past.map(({ message }) => message), ["first", "second"]);
  assertEquals(past[0]!.id, id);
  const resumed = await other.subscribe("orders", { after: id });
  assertEquals(await messages(resumed, 1), ["second"]);
});

Deno.test("brokers of other names, and those without one, share nothing with it", async () => {
  const url = uniqueUrl();
  await using one = new Broadcast(url);
  await one.publish("news", "hello");
  for (const elsewhere of [uniqueUrl(), "memory://", "memory://"]) {
    await using other = new Broadcast(elsewhere);
    assertEquals(await other.history("news"), []);
    await other.publish("news", "from elsewhere");
  }
  assertEquals((await one.history("news")).map(({ message }) => message), ["hello"]);
  assertEquals([isHeld(url), isHeld("memory://")], [true, false]);
});

Deno.test("disconnect() ends a broadcast's own subscriptions, and leaves the others connected", async () => {
  const url = uniqueUrl();
  const leaving = new Broadcast(url);
  await using staying = new Broadcast(url);
  const ended = await leaving.subscribe("news");
  const heard = await staying.subscribe("news");
  await leaving.publish("news", "one");
  await leaving.disconnect();
  await staying.publish("news", "two");
  assertEquals((await Array.fromAsync(ended)).map(({ message }) => message), ["one"]);
  assertEquals(await messages(heard, 2), ["one", "two"]);
  assertEquals(staying.state, "connected");
  assertEquals((await staying.history("news")).length, 2);
});

Deno.test("the first who opens a name says how much is kept, and the others' ?history= is ignored", async () => {
  const url = uniqueUrl();
  await using first = new Broadcast(`${url}?history=2`);
  await using second = new Broadcast(`${url}?history=100`);
  await using none = new Broadcast(`${url}?history=0`);
  for (const message of ["one", "two", "three"]) await first.publish("news", message);
  for (const broadcast of [first, second, none]) {
    const past = await broadcast.history("news");
    assertEquals(past.map(({ message }) => message), ["two", "three"]);
  }
});

Deno.test("without a log at the first, there is none for anybody, and events arrive all the same", async () => {
  const url = uniqueUrl();
  await using first = new Broadcast(`${url}?history=0`);
  await first.connect();
  await using second = new Broadcast(url);
  await assertRejects(() => second.history("news"), TypeError, "memory");
  const heard = await second.subscribe("news");
  await first.publish("news", "hello");
  assertEquals(await messages(heard, 1), ["hello"]);
});

Deno.test("another copy of the module finds the same broker", async () => {
  const folder = await Deno.makeTempDir({ prefix: "copy-" });
  try {
    for (const path of ["mod.ts", "core", "backends"]) {
      await cp(join(PROJECT, path), join(folder, path), { recursive: true });
    }
    const copy: typeof import("../../../mod.ts") = await import(
      pathToFileURL(join(folder, "mod.ts")).href
    );
    assertEquals(copy.Broadcast === Broadcast, false);
    const url = uniqueUrl();
    await using one = new Broadcast(url);
    await using other = new copy.Broadcast(url);
    const [here, there] = [await one.subscribe("news"), await other.subscribe("news")];
    const id = await one.publish("news", "from here");
    await other.publish("news", "from there");
    for (const subscription of [here, there]) {
      assertEquals(await messages(subscription, 2), ["from here", "from there"]);
    }
    const resumed = await other.subscribe({ pattern: "n*" }, { history: 5 });
    assertEquals(await messages(resumed, 2), ["from here", "from there"]);
    assertEquals(await messages(await other.subscribe("news", { after: id }), 1), ["from there"]);
    // One copy keeps what the other has left, whichever of them made the broker.
    await one.disconnect();
    await using again = new Broadcast(url);
    assertEquals((await again.history("news")).length, 2);
    await other.disconnect();
    await again.publish("news", "still here");
    assertEquals((await again.history("news")).length, 3);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a name is gone 10 seconds after its last broadcast, and not before", async () => {
  using clock = new Clock();
  const url = uniqueUrl();
  const first = new Broadcast(url);
  const id = await first.publish("news", "old");
  await first.disconnect();
  await clock.pass(9_999);
  assertEquals(isHeld(url), true);

  // Who comes in time finds all that was there, and the ten seconds begin anew.
  const second = new Broadcast(url);
  assertEquals((await second.history("news")).map(({ message }) => message), ["old"]);
  await clock.pass(60_000);
  assertEquals(isHeld(url), true);
  await second.publish("news", "new");
  await second.disconnect();
  await clock.pass(9_999);
  assertEquals(isHeld(url), true);
  await clock.pass(1);
  assertEquals(isHeld(url), false);

  await using third = new Broadcast(url);
  assertEquals(await third.history("news"), []);
  const resumed = await third.subscribe("news", { after: id });
  await third.publish("news", "newest");
  const [event] = await take(resumed, 1);
  assertEquals([event?.message, event?.gap?.cause], ["newest", "reset"]);
});

Deno.test("a name is gone after 10 seconds, even if its timer is late", async () => {
  using clock = new Clock();
  const url = uniqueUrl();
  const first = new Broadcast(url);
  await first.publish("news", "old");
  await first.disconnect();
  await clock.pass(10_000, { late: true });
  await using second = new Broadcast(url);
  assertEquals(await second.history("news"), []);
  // The timer of the old one leaves the new one alone.
  await clock.pass(0);
  assertEquals(isHeld(url), true);
  await second.publish("news", "new");
  await using third = new Broadcast(url);
  assertEquals((await third.history("news")).map(({ message }) => message), ["new"]);
});

Deno.test("what is left of a name keeps no process alive", async () => {
  const script = `
    import { Broadcast } from ${JSON.stringify(pathToFileURL(join(PROJECT, "mod.ts")).href)};
    const broadcast = new Broadcast("memory://name");
    await broadcast.publish("news", "hello");
    await broadcast.disconnect();
    console.log("left");
  `;
  const args = ["eval", "--no-check", script];
  const { stdout } = await succeed(Deno.execPath(), args, { timeout: 9_000 });
  assertEquals(stdout, "left\n");
});
