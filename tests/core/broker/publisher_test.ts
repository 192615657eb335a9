/** What becomes of messages that are on their way. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { MemoryBackend } from "../../../backends/memory/log.ts";
import { Broadcast, ClosedError, OutcomeUnknownError } from "../../../mod.ts";

Deno.test("what a backend has not answered when it closes is of unknown outcome", async () => {
  const backend = new Silent();
  const broadcast = new Broadcast(backend, { timeout: 20 });
  await broadcast.connect();
  const published = assertRejects(() => broadcast.publish("orders", "1"), OutcomeUnknownError);
  await backend.called.promise;
  await broadcast.disconnect();
  assertEquals(
    (await published).message,
    'Cannot confirm message to "orders": the broadcast was disconnected before it was answered, it may or may not be published',
  );
});

/** Answers nothing until it is closed. */
class Silent extends MemoryBackend {
  readonly called = Promise.withResolvers<void>();
  readonly #closing = Promise.withResolvers<void>();

  override async publish(): Promise<void> {
    this.called.resolve();
    await this.#closing.promise;
    throw new ClosedError("Cannot use backend: it is closed");
  }

  override async close(): Promise<void> {
    this.#closing.resolve();
    await super.close();
  }
}

for (const answer of [undefined, [], [undefined]]) {
  Deno.test(`a backend whose publish() returns ${JSON.stringify(answer)} fails that message alone`, async () => {
    const backend = new MemoryBackend(0);
    Object.assign(backend, { publish: () => answer });
    await using broadcast = new Broadcast(backend);
    await assertRejects(() => broadcast.publish("c", "m"), TypeError, "returned no promise");
    assertEquals(broadcast.state, "connected");
  });
}

Deno.test("a signal aborts a message that a backend of this process has not answered", async () => {
  class Slow extends MemoryBackend {
    override publish(): Promise<void> {
      return new Promise(() => {});
    }
  }
  const broadcast = new Broadcast(new Slow(), { timeout: 1 });
  await broadcast.connect();
  const abort = new AbortController();
  const published = broadcast.publish("a", "1", { signal: abort.signal });
  abort.abort(new Error("enough"));
  await assertRejects(() => published, Error, "enough");
  await broadcast.disconnect();
});

for (const url of ["memory://", "memory://?history=0"]) {
  Deno.test(`${url}: a loop that only awaits publish() gives readers and timers their turns`, async () => {
    await using broadcast = new Broadcast(url);
    const subscription = await broadcast.subscribe("numbers");
    let received = 0;
    const reading = (async () => {
      for await (const { message, gap } of subscription) {
        assertEquals([message, gap], [`${received}`, undefined]);
        received++;
      }
    })();
    let fired = false;
    const timer = setTimeout(() => fired = true);
    for (let sent = 0; sent < 5_000; sent++) await broadcast.publish("numbers", `${sent}`);
    clearTimeout(timer);
    assert(fired, "the timer has not fired");
    assert(received > 4_500, `${received} of 5,000 were received`);
    subscription.close();
    await reading;
  });
}
