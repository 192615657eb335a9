/** What a broker's death, and a connection's, must and must not do. Each case has a broker of its own. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { deadline } from "@std/async";
import { Broadcast, ConnectionError, type Gap, OutcomeUnknownError } from "../../mod.ts";
import { messages, numbered, take, uniqueChannel } from "../conformance/harness.ts";
import { until } from "../services/service.ts";
import { type Rig, state } from "./rig.ts";

/** How the cases are run. */
export interface FaultOptions {
  /** Whether one broker, slow to start, serves them all: they are steps of one test. */
  readonly shared?: boolean;
  /** How long a case may take, in milliseconds. */
  readonly patience?: number;
  /** Whether there is a log, which outlives the broker's process: then nothing is lost. */
  readonly log?: boolean;
  /** Whether it knows keys: then what was never answered is published once, all the same. */
  readonly keys?: boolean;
  /** How the broker ends in the middle of what is published. */
  readonly death?: "SIGKILL" | "SIGTERM";
}

const PATIENCE = 120_000;

/** Registers the fault cases of a backend. */
export function faults(
  name: string,
  rig: () => Promise<Rig>,
  options: FaultOptions = {},
): void {
  const { shared = false, patience = PATIENCE, log = false, keys = false } = options;
  const { death = "SIGKILL" } = options;
  const cases: [string, (rig: Rig) => Promise<void>][] = [];
  if (log) faultsWithLog(fault, death);
  else faultsWithoutLog(fault);
  if (keys) faultsWithKeys(fault);

  fault("what waits too long is turned away, unsent", async ({ proxy, url }) => {
    await using broadcast = new Broadcast(`${url}?timeout=300ms`);
    await broadcast.subscribe(uniqueChannel());
    const lost = state(broadcast, "reconnecting");
    proxy.refuse();
    proxy.cut();
    await lost;
    const error = await assertRejects(() => broadcast.publish("late", "x"), ConnectionError);
    assertEquals(
      error.message.replace(/\/\/.* for/, "//… for"),
      `Cannot publish to "late": not connected to ${name}://… for 0.3 s, the message was not sent`,
    );
    await assertRejects(() => broadcast.subscribe("late"), ConnectionError);
    await proxy.accept();
  });

  fault("what was sent and never answered is of unknown outcome", async ({ proxy, url }) => {
    await using broadcast = new Broadcast(url);
    await broadcast.publish("warm-up", "x");
    proxy.stall();
    const published = broadcast.publish("unanswered", "x");
    const outcome = assertRejects(() => published, OutcomeUnknownError);
    // The bytes are on their way once the event loop has turned.
    await new Promise((resolve) => setTimeout(resolve, 0));
    proxy.cut();
    proxy.resume();
    const error = await outcome;
    assertEquals(error instanceof ConnectionError, false);
    assertEquals(
      error.message.replace(/\/\/\S+ was/, "//… was"),
      `Cannot confirm message to "unanswered": the connection to ${name}://… was lost before it answered, it may or may not be published`,
    );
  });

  fault("health() tells of a broker that is away, silent or back", async ({ proxy, url }) => {
    await using broadcast = new Broadcast(url);
    await broadcast.subscribe(uniqueChannel());
    const { ok, latency } = await broadcast.health();
    assert(ok && latency! > 0, `${latency}`);
    proxy.stall();
    const signal = AbortSignal.timeout(100);
    const silent = await broadcast.health({ signal });
    assertEquals([silent.ok, silent.reason], [false, signal.reason.message]);
    proxy.resume();
    assertEquals([(await broadcast.health()).ok, broadcast.stats().reconnects], [true, 0]);
    const lost = state(broadcast, "reconnecting");
    proxy.refuse();
    proxy.cut();
    await lost;
    const away = await broadcast.health();
    assertEquals([away.ok, away.state], [false, "reconnecting"]);
    assert(away.reason!.startsWith(`not connected to ${name}://127.0.0.1`), away.reason);
    const back = state(broadcast, "connected");
    await proxy.accept();
    await back;
    assertEquals([(await broadcast.health()).ok, broadcast.stats().reconnects], [true, 1]);
  });

  fault("disconnect() while the broker is away ends everything", async ({ proxy, url }) => {
    const broadcast = new Broadcast(`${url}?timeout=300ms`);
    const subscription = await broadcast.subscribe(uniqueChannel());
    const lost = state(broadcast, "reconnecting");
    proxy.refuse();
    proxy.cut();
    await lost;
    const [publish, subscribe] = await Promise.allSettled([
      broadcast.publish("late", "x"),
      broadcast.subscribe("late"),
      broadcast.disconnect(),
    ]);
    assertEquals([publish.status, subscribe.status], ["rejected", "rejected"]);
    assertEquals(await messages(subscription, 1), []);
    await proxy.accept();
  });

  fault("disconnect() with a half-open connection hangs nobody", async ({ proxy, url }) => {
    const broadcast = new Broadcast(url);
    const subscription = await broadcast.subscribe(uniqueChannel());
    proxy.stall();
    await broadcast.disconnect();
    assertEquals(await messages(subscription, 1), []);
  });

  fault("a broker that is not there yet rejects, and serves once it is", async ({ proxy, url }) => {
    await using broadcast = new Broadcast(url);
    proxy.refuse();
    const error = await assertRejects(() => broadcast.connect(), ConnectionError);
    assertEquals(
      error.message.includes(`Cannot connect to ${name}://127.0.0.1:${proxy.port}`),
      true,
    );
    assertEquals(broadcast.state, "idle");
    await proxy.accept();
    const channel = uniqueChannel();
    const subscription = await broadcast.subscribe(channel);
    await broadcast.publish(channel, "hello");
    assertEquals(await messages(subscription, 1), ["hello"]);
  });

  if (shared) {
    Deno.test(`${name}: faults`, async (t) => {
      await using own = await rig();
      for (const [what, body] of cases) {
        await t.step(what, async () => {
          try {
            await deadline(body(own), patience);
          } finally {
            await recover(own);
          }
        });
      }
    });
  }

  function fault(what: string, body: (rig: Rig) => Promise<void>): void {
    if (shared) return void cases.push([what, body]);
    Deno.test(`${name}: ${what}`, async () => {
      await using own = await rig();
      await deadline(body(own), patience);
    });
  }
}

/** Registers a case. */
type Fault = (what: string, body: (rig: Rig) => Promise<void>) => void;

/** What was published while nobody listened is lost, and every subscriber is told so. */
function faultsWithoutLog(fault: Fault): void {
  fault(
    "a cut connection is a gap, told at once, and the stream goes on",
    async ({ proxy, url }) => {
      await using broadcast = new Broadcast(url);
      const states: string[] = [];
      broadcast.addEventListener("statechange", ({ state }) => states.push(state));
      const gaps: Gap[] = [];
      const told = Promise.withResolvers<void>();
      const channel = uniqueChannel();
      const subscription = await broadcast.subscribe(channel, {
        onGap: (gap) => (gaps.push(gap), told.resolve()),
      });
      await broadcast.publish(channel, "before");
      const [before] = await take(subscription, 1);
      const next = take(subscription, 2);
      proxy.cut();
      await told.promise;
      assertEquals(gaps, [{ cause: "disconnect", after: before!.id }]);
      await broadcast.publish(channel, "after");
      await broadcast.publish(channel, "later");
      const [after, later] = await next;
      assertEquals(after!.message, "after");
      assertEquals(after!.gap, { cause: "disconnect", after: before!.id });
      assertEquals(later!.gap, undefined);
      assertEquals(states, ["connecting", "connected", "reconnecting", "connected"]);
    },
  );

  fault("a half-open connection is found by the probe", async ({ proxy, url }) => {
    await using broadcast = new Broadcast(`${url}?probe=300ms`);
    const channel = uniqueChannel();
    const subscription = await broadcast.subscribe(channel);
    const gap = Promise.withResolvers<string>();
    broadcast.addEventListener("gap", (event) => gap.resolve(event.channel));
    const lost = state(broadcast, "reconnecting");
    proxy.stall();
    await lost;
    // What was held back stays lost: these are new connections.
    proxy.cut();
    proxy.resume();
    assertEquals(await gap.promise, channel);
    await broadcast.publish(channel, "after");
    const [after] = await take(subscription, 1);
    assertEquals(after!.gap!.cause, "disconnect");
  });

  fault(
    "a broker that restarts: every channel is back, each with a gap",
    async ({ server, url }) => {
      await using broadcast = new Broadcast(url);
      const channels = Array.from({ length: 20 }, uniqueChannel);
      const subscriptions = await Promise.all(channels.map((one) => broadcast.subscribe(one)));
      const gaps = new Set<string>();
      const all = Promise.withResolvers<void>();
      broadcast.addEventListener("gap", ({ channel }) => {
        if (gaps.add(channel).size === channels.length) all.resolve();
      });
      await server.stop("SIGKILL");
      await server.restart();
      await all.promise;
      await Promise.all(channels.map((one) => broadcast.publish(one, `to ${one}`)));
      for (const [index, subscription] of subscriptions.entries()) {
        const [event] = await take(subscription, 1);
        assertEquals(event!.message, `to ${channels[index]}`);
        assertEquals(event!.gap!.cause, "disconnect");
      }
    },
  );

  fault(
    "what is published while the broker is away waits, in order, until it can be heard",
    async ({ server, url }) => {
      await using broadcast = new Broadcast(`${url}?timeout=60s`);
      const channel = uniqueChannel();
      const subscription = await broadcast.subscribe(channel);
      const lost = state(broadcast, "reconnecting");
      await server.stop("SIGKILL");
      await lost;
      const published = numbered(20).map((message) => broadcast.publish(channel, message));
      await server.restart();
      await Promise.all(published);
      const events = await take(subscription, 20);
      assertEquals(events.map(({ message }) => message), numbered(20));
      assertEquals(events[0]!.gap!.cause, "disconnect");
    },
  );
}

/** What was published is read from the log, whatever became of the connection. */
function faultsWithKeys(fault: Fault): void {
  fault(
    "what has a key is stored once, in its order, however often the connection is cut",
    async (rig) => {
      const { proxy, url, direct } = rig;
      await using broadcast = new Broadcast(`${url}?timeout=30s`);
      await using other = new Broadcast(direct);
      const channel = uniqueChannel();
      await broadcast.publish(channel, "before");
      const expected = numbered(300);
      const published: Promise<string | undefined>[] = [];
      let losses = 0;
      broadcast.addEventListener("statechange", ({ state }) => {
        if (state === "reconnecting") losses++;
      });
      for (let from = 0; from < expected.length; from += 60) {
        for (const message of expected.slice(from, from + 60)) {
          published.push(broadcast.publish(channel, message, { idempotencyKey: message }));
        }
        // Some are on their way, some are stored, and of some the answer is on its way.
        for (let turns = from / 60; turns > 0; turns--) {
          await new Promise((resolve) => setTimeout(resolve, 0));
        }
        proxy.cut();
        await broadcast.connect();
      }
      const ids = await Promise.all(published);
      // An idle client may hear of a cut only with the next one.
      assert(losses > 1, `${losses} of 5`);
      const past = await other.history(channel, { limit: 1_000 });
      assertEquals(past.map(({ message }) => message), ["before", ...expected]);
      for (const [index, id] of ids.entries()) {
        if (id !== undefined) assertEquals(id, past[index + 1]!.id);
      }
    },
  );
}

function faultsWithLog(fault: Fault, death: "SIGKILL" | "SIGTERM"): void {
  fault(
    "a cut connection loses nothing, not what others publish meanwhile either",
    async ({ proxy, url, direct }) => {
      await using broadcast = new Broadcast(url);
      await using other = new Broadcast(direct);
      const states: string[] = [];
      broadcast.addEventListener("statechange", ({ state }) => states.push(state));
      const channel = uniqueChannel();
      const subscription = await broadcast.subscribe(channel);
      await broadcast.publish(channel, "before");
      const events = take(subscription, 12);
      const lost = state(broadcast, "reconnecting");
      proxy.refuse();
      proxy.cut();
      await lost;
      await Promise.all(numbered(10).map((message) => other.publish(channel, message)));
      await proxy.accept();
      await broadcast.publish(channel, "after");
      const received = await events;
      assertEquals(received.map(({ message }) => message), ["before", ...numbered(10), "after"]);
      assertEquals(received.map(({ gap }) => gap), Array(12).fill(undefined));
      assertEquals(states, ["connecting", "connected", "reconnecting", "connected"]);
    },
  );

  fault("a half-open connection is found by the probe, and nothing is lost", async (rig) => {
    const { proxy, url, direct } = rig;
    await using broadcast = new Broadcast(`${url}?probe=300ms`);
    await using other = new Broadcast(direct);
    const channel = uniqueChannel();
    const subscription = await broadcast.subscribe(channel);
    const lost = state(broadcast, "reconnecting");
    proxy.stall();
    await other.publish(channel, "unheard");
    await lost;
    // What was held back stays lost: these are new connections.
    proxy.cut();
    proxy.resume();
    await broadcast.publish(channel, "after");
    const events = await take(subscription, 2);
    assertEquals(events.map(({ message, gap }) => [message, gap]), [
      ["unheard", undefined],
      ["after", undefined],
    ]);
  });

  fault("a broker that restarts: every channel is back, and misses nothing", async (rig) => {
    await using broadcast = new Broadcast(`${rig.url}?timeout=60s`);
    const channels = Array.from({ length: 20 }, uniqueChannel);
    const subscriptions = await Promise.all(channels.map((one) => broadcast.subscribe(one)));
    await Promise.all(channels.map((one) => broadcast.publish(one, "before")));
    const back = state(broadcast, "reconnecting").then(() => state(broadcast, "connected"));
    await rig.server.stop("SIGKILL");
    await rig.server.restart();
    await back;
    await Promise.all(channels.map((one) => broadcast.publish(one, `to ${one}`)));
    for (const [index, subscription] of subscriptions.entries()) {
      const events = await take(subscription, 2);
      assertEquals(events.map(({ message }) => message), ["before", `to ${channels[index]}`]);
      assertEquals(events.map(({ gap }) => gap), [undefined, undefined]);
    }
  });

  fault(
    "a broker restarts at one third and one half of 10,000 events: none is lost unsaid",
    async ({ server, url }) => {
      const events = 10_000;
      await using publisher = new Broadcast(`${url}?timeout=60s`);
      await using subscriber = new Broadcast(`${url}?timeout=60s`);
      const channel = uniqueChannel();
      const readers = await Promise.all(
        Array.from({ length: 5 }, () => subscriber.subscribe(channel)),
      );
      const received = Promise.all(readers.map(async (reader) => {
        const messages: number[] = [];
        let told = 0;
        for await (const { message, gap } of reader) {
          if (gap) told++;
          if (message === "last") break;
          messages.push(Number(message));
        }
        return { messages, told };
      }));
      const accepted = new Set<number>();
      for (let from = 0; from < events; from += 100) {
        if (from === 3_300 || from === 5_000) {
          await server.stop(death);
          await server.restart();
        }
        const batch = Array.from({ length: 100 }, (_, index) => from + index);
        await Promise.all(
          batch.map((one) =>
            publisher.publish(channel, `${one}`).then(() => accepted.add(one), () => {})
          ),
        );
      }
      await publisher.publish(channel, "last");
      for (const { messages, told } of await received) {
        const seen = new Set(messages);
        assertEquals(messages, [...seen].sort((one, other) => one - other));
        const missing = [...accepted].filter((one) => !seen.has(one));
        if (told === 0) assertEquals(missing, []);
      }
      assert(accepted.size > events * 0.9);
    },
  );
}

/** Leaves a proxy that accepts and passes on, and to which nobody is connected. */
async function recover({ proxy }: Rig): Promise<void> {
  proxy.resume();
  proxy.cut();
  await until(() => proxy.connections === 0, "Cannot cut all connections");
  await proxy.accept();
}
