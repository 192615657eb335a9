/** Options are checked everywhere alike: the numbers, the signal, and the object itself. */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { runInNewContext } from "node:vm";
import { MemoryBackend } from "../../../backends/memory/log.ts";
import { Broadcast, ConnectionError } from "../../../mod.ts";

const NUMBERS = [NaN, -1, "1", null, {}, Infinity] as const;
const COUNTS = [...NUMBERS, 0.5, 2 ** 53] as const;
const EVENTS = [...COUNTS, 100_001] as const;

/** Every option that is a number, with values that it cannot have. */
const NUMERIC: [name: string, refused: readonly unknown[], use: (value: unknown) => unknown][] = [
  ...["linger", "timeout", "probe"].map((
    name,
  ) => [
    name,
    NUMBERS.slice(0, 3),
    (value: unknown) => new Broadcast("memory://", { [name]: value }),
  ]) as never,
  [
    "buffer",
    COUNTS.filter((value) => value !== null),
    (buffer) => new Broadcast("memory://", { buffer: buffer as number }),
  ],
  [
    "history",
    EVENTS,
    (history) => asked((broadcast) => broadcast.subscribe("news", { history: history as number })),
  ],
  [
    "maxResume",
    [...EVENTS, 0],
    (maxResume) =>
      asked((broadcast) => broadcast.subscribe("news", { maxResume: maxResume as number })),
  ],
  [
    "limit",
    [...EVENTS, 0],
    (limit) => asked((broadcast) => broadcast.history("news", { limit: limit as number })),
  ],
  [
    "idempotencyTtl",
    [...NUMBERS, 0],
    (ttl) =>
      asked((broadcast) =>
        broadcast.publish("news", "x", { idempotencyKey: "k", idempotencyTtl: ttl as number })
      ),
  ],
];

for (const [name, refused, use] of NUMERIC) {
  Deno.test(`option ${name} is a number within its range, or the call is refused`, async () => {
    for (const value of refused) {
      const error = await Promise.resolve().then(() => use(value)).then(
        () => undefined,
        (error) => error,
      );
      assert(error instanceof RangeError, `${name}: ${String(value)}: ${error}`);
      assert(/^Cannot .* must be a (whole )?number .*, it is /.test(error.message), error.message);
    }
  });
}

/** Every call that takes a signal. */
const CALLS: Record<string, (broadcast: Broadcast, options: never) => unknown> = {
  connect: (broadcast, options) => broadcast.connect(options),
  publish: (broadcast, options) => broadcast.publish("news", "x", options),
  subscribe: (broadcast, options) => broadcast.subscribe("news", options),
  history: (broadcast, options) => broadcast.history("news", options),
  writable: (broadcast, options) => broadcast.writable("news", options),
};

for (const [name, call] of Object.entries(CALLS)) {
  Deno.test(`${name}(): a signal of another realm is one, an AbortController is none`, async () => {
    await using broadcast = new Broadcast("memory://");
    for (const options of [null, undefined, {}, { signal: undefined }]) {
      await call(broadcast, options as never);
    }
    const wrong: [options: unknown, message: string][] = [
      [
        { signal: new AbortController() },
        "option signal must be an AbortSignal, it is an AbortController, pass its signal",
      ],
      [{ signal: 7 }, "option signal must be an AbortSignal, it is a number"],
      ["news", "options must be an object, it is a string"],
    ];
    for (const [options, message] of wrong) {
      const error = await assertRejects(
        async () => await call(broadcast, options as never),
        TypeError,
      );
      assert(error.message.startsWith("Cannot ") && error.message.endsWith(message), error.message);
    }
    // All that is known of a signal is what it can do.
    const { signal } = new AbortController();
    const foreign = runInNewContext(
      `({
        aborted: false,
        throwIfAborted() {},
        addEventListener: (...args) => given.addEventListener(...args),
        removeEventListener: (...args) => given.removeEventListener(...args),
      })`,
      { given: signal },
    );
    await call(broadcast, { signal: foreign } as never);
  });
}

Deno.test("a subscription is iterated as any other stream is", async () => {
  await using broadcast = new Broadcast("memory://");
  const streams = [await broadcast.subscribe("news"), new ReadableStream()];
  for (const stream of streams) {
    assertThrows(() => stream.values(7 as never), TypeError);
    assertThrows(() => stream.values("news" as never), TypeError);
    assertEquals(stream.locked, false);
    const kept = stream.values({ preventCancel: 1 as never });
    assertEquals(await kept.return!("value" as never), { done: true, value: "value" as never });
    assertEquals(stream.locked, false);
    const iterator = stream.values(null as never);
    assertEquals(await iterator.return!("value" as never), { done: true, value: "value" as never });
    assertEquals(await iterator.return!("again" as never), { done: true, value: "again" as never });
    assertEquals(await iterator.return!(), { done: true, value: undefined });
    assertEquals(await iterator.next(), { done: true, value: undefined });
  }
});

Deno.test("writable(): a stream that cannot start leaves its signal alone", async () => {
  const broadcast = new Broadcast(new Unreachable());
  const { signal } = new AbortController();
  let listeners = 0;
  const { addEventListener, removeEventListener } = signal;
  signal.addEventListener = (...args: unknown[]) => {
    listeners++;
    addEventListener.apply(signal, args as never);
  };
  signal.removeEventListener = (...args: unknown[]) => {
    listeners--;
    removeEventListener.apply(signal, args as never);
  };
  const writer = broadcast.writable("news", { signal }).getWriter();
  assertEquals(listeners, 1);
  await assertRejects(() => writer.closed, ConnectionError);
  assertEquals(listeners, 0);
  await broadcast.disconnect();
});

class Unreachable extends MemoryBackend {
  connect(): Promise<void> {
    return Promise.reject(new ConnectionError("nobody there"));
  }
}

async function asked(ask: (broadcast: Broadcast) => Promise<unknown>): Promise<void> {
  await using broadcast = new Broadcast("memory://");
  await ask(broadcast);
}
