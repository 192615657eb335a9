/** Wakes that carry their entry: who publishes them, and what a tail makes of them. */

import { Buffer } from "node:buffer";
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Redis } from "ioredis";
import type { ReadResult } from "../../../../core/backend/contract.ts";
import { fingerprintOf } from "../../../../core/backend/kit/fingerprint.ts";
import { Position } from "../../../../core/backend/position.ts";
import { placeOf } from "../../../../backends/redis/log/record.ts";
import { StreamTail } from "../../../../backends/redis/log/tail.ts";
import { entryIn } from "../../../../backends/redis/log/wake.ts";
import { Broadcast, RefusedError } from "../../../../mod.ts";
import { messages, numbered, take } from "../../../conformance/harness.ts";
import { withBroker } from "../../../services/broker.ts";
import { OwnServer } from "../own_server.ts";
import { closed, Stream } from "./stream.ts";

const RIGHTS = "+@all ~* &*";

withBroker("redis", (given) => {
  const url = given.replace(/^(rediss?):/, "$1-stream:");

  Deno.test("redis-stream: the wake of a message alone in its turn carries it", async () => {
    await using wakes = await Wakes.open(url);
    const { broadcast, stream } = wakes;
    const subscription = await broadcast.subscribe(stream.key);
    const sent = ["first", "", "é\n1-1 1-1 0", "x".repeat(4_096)];
    const headers = { trace: "é", empty: "" };
    const ids = [];
    for (const one of sent) ids.push(await broadcast.publish(stream.key, one));
    ids.push(await broadcast.publish(stream.key, "last", { headers }));
    const events = await take(subscription, 5);
    assertEquals(events.map(({ message }) => message), [...sent, "last"]);
    assertEquals(events.map(({ id }) => id), ids);
    assertEquals({ ...events[4]!.headers } as unknown, headers);
    // The right to run scripts was tried behind the first one.
    assertEquals(await wakes.heard(), ["", "", ...sent.slice(1), "last"]);
    const past = await broadcast.history(stream.key);
    assertEquals(past.map(({ id, timestamp }) => [id, timestamp]), [
      ...events.map(({ id, timestamp }) => [id, timestamp]),
    ]);
  });

  Deno.test("redis-stream: the wakes of others carry nothing", async () => {
    await using wakes = await Wakes.open(url);
    const { broadcast, stream } = wakes;
    const subscription = await broadcast.subscribe(stream.key);
    await broadcast.publish(stream.key, "first");
    const large = "é".repeat(2_049);
    await broadcast.publish(stream.key, large);
    await broadcast.publish(stream.key, "small", { headers: { large } });
    await Promise.all(["one", "two"].map((one) => broadcast.publish(stream.key, one)));
    await broadcast.publish(stream.key, "keyed", { idempotencyKey: "key" });
    await stream.client.xadd(stream.key, "*", "other", "first", "message", "theirs");
    await broadcast.publish(stream.key, "after theirs");
    const all = ["first", large, "small", "one", "two", "keyed", "theirs", "after theirs"];
    assertEquals(await messages(subscription, all.length), all);
    assertEquals(await wakes.heard(), ["", "", "", "", "", "", ""]);
    await stream.client.del(`${stream.key}:broadcaster-key:key`);
  });

  Deno.test("redis-stream: messages one by one are hardly ever read", async () => {
    await using own = await OwnServer.start();
    await using broadcast = new Broadcast(own.url("redis-stream"));
    const subscription = await broadcast.subscribe("channel");
    await broadcast.publish("channel", "0");
    await take(subscription, 1);
    const before = await own.calls("xrange");
    const count = 500;
    for (const one of numbered(count)) await broadcast.publish("channel", one);
    assertEquals(await messages(subscription, count), numbered(count));
    const reads = await own.calls("xrange") - before;
    // The sweep may look between an entry and its wake.
    assert(reads < count / 4, `${reads} reads for ${count} events`);
  });

  Deno.test("redis-stream: an entry that only a wake has is told as a gap", async () => {
    await using wakes = await Wakes.open(url);
    const { broadcast, stream } = wakes;
    const subscription = await broadcast.subscribe(stream.key);
    await broadcast.publish(stream.key, "first");
    await take(subscription, 1);
    const [entry] = await stream.client.xrange(stream.key, "-", "+");
    const [id] = entry!;
    await stream.client.publish(`${stream.key}:wake`, `${Date.now() + 1e6}-0 ${id} 5 4\nfirstfake`);
    assertEquals(await messages(subscription, 1), ["fake"]);
    await broadcast.publish(stream.key, "real");
    const [event] = await take(subscription, 1);
    assertEquals([event!.message, event!.gap?.cause], ["real", "rollback"]);
  });

  Deno.test("redis-stream: who may not run scripts publishes as before", async () => {
    await using own = await OwnServer.start();
    await own.user("app", `${RIGHTS} -eval`);
    await using wakes = await Wakes.open(own.url("redis-stream"), own.url("redis-stream", "app"));
    const { broadcast, stream } = wakes;
    const subscription = await broadcast.subscribe(stream.key);
    for (const one of numbered(10)) await broadcast.publish(stream.key, one);
    assertEquals(await messages(subscription, 10), numbered(10));
    assertEquals(await wakes.heard(), numbered(10).map(() => ""));
    // Only once.
    const log = await own.call("ACL LOG") as unknown[];
    assertEquals(log.length, 1);
  });

  Deno.test("redis-stream: who loses the right to scripts, or gets it back, loses nothing", async () => {
    await using own = await OwnServer.start();
    await own.user("app", RIGHTS);
    await using wakes = await Wakes.open(own.url("redis-stream"), own.url("redis-stream", "app"));
    const { broadcast, stream } = wakes;
    const subscription = await broadcast.subscribe(stream.key);
    await broadcast.publish(stream.key, "first");
    await broadcast.publish(stream.key, "carried");
    await own.call("ACL SETUSER app -eval");
    await broadcast.publish(stream.key, "without");
    await broadcast.publish(stream.key, "without");
    const sent = ["first", "carried", "without", "without"];
    assertEquals(await messages(subscription, 4), sent);
    assertEquals(await wakes.heard(), ["", "", "carried", "", ""]);
  });

  Deno.test("redis-stream: a channel without a right to it leaves scripts to the others", async () => {
    await using own = await OwnServer.start();
    await own.user("app", "+@all ~allowed* &*");
    await using broadcast = new Broadcast(own.url("redis-stream", "app"));
    const refused = () => assertRejects(() => broadcast.publish("other", "x"), RefusedError);
    await refused();
    const subscription = await broadcast.subscribe("allowed");
    for (const one of ["one", "two"]) await broadcast.publish("allowed", one);
    await refused();
    for (const one of ["three", "four"]) await broadcast.publish("allowed", one);
    assertEquals(await messages(subscription, 4), ["one", "two", "three", "four"]);
    // "two" and "four".
    assertEquals(await own.admin.xlen("allowed"), 4);
    const stats = String(await own.call("INFO commandstats"));
    assertEquals(/cmdstat_xrevrange:calls=(\d+)/.exec(stats)?.[1], "4");
  });
});

Deno.test("redis-stream: a wake delivers the entry that comes next, unread", async () => {
  const log = await Log.open("a");
  log.wake(log.add("b"));
  log.wake(log.add("c"));
  assertEquals(await log.next(), ["b", "c"]);
  log.wake(log.add("d"));
  assertEquals(await log.next(), ["d"]);
  assertEquals(log.reads, 1);
});

Deno.test("redis-stream: what a lost wake would have announced is read", async () => {
  const log = await Log.open("a");
  log.add("b");
  log.wake(log.add("c"));
  assertEquals(await log.next(), ["b", "c"]);
  // It was read already.
  log.wake(log.add("d"));
  assertEquals(await log.next(), ["d"]);
  assertEquals(log.reads, 2);
});

Deno.test("redis-stream: wakes out of order deliver in order", async () => {
  const log = await Log.open("a");
  const [b, c] = [log.add("b"), log.add("c")];
  log.wake(c);
  log.wake(b);
  assertEquals(await log.next(), ["b", "c"]);
  log.wake(log.add("d"));
  assertEquals(await log.next(), ["d"]);
});

Deno.test("redis-stream: a wake that comes behind a read delivers nothing again", async () => {
  const log = await Log.open("a");
  const late = [log.add("b"), log.add("c")];
  log.wake("");
  assertEquals(await log.next(), ["b", "c"]);
  for (const one of late) log.wake(one);
  log.wake(log.add("d"));
  assertEquals(await log.next(), ["d"]);
  assertEquals(log.reads, 2);
});

Deno.test("redis-stream: a wake from before a cut is read, not delivered", async () => {
  const log = await Log.open("a");
  const before = log.add("b");
  // Another entry has taken the place of the one that the wake carries, and the tail has met it.
  log.entries[1] = { ...log.entries[1]!, payload: "z" };
  log.wake("");
  assertEquals(await log.next(), ["z"]);
  log.wake(before);
  log.add("c");
  assertEquals(await log.next(), ["c"]);
  assertEquals(log.reads, 3);
});

Deno.test("redis-stream: a wake after another entry at the same id is read", async () => {
  const log = await Log.open("a");
  log.entries[0] = { ...log.entries[0]!, payload: "z" };
  log.wake(log.add("b"));
  assertEquals(await log.next(), ["z", "b"]);
  assertEquals(log.reads, 2);
});

Deno.test("redis-stream: wakes that are not ours are read", async () => {
  const log = await Log.open("a");
  const good = log.add("b");
  const text = good.toString("latin1");
  for (
    const bad of [
      Buffer.of(0xff, 0x0a, 0x00),
      Buffer.from("\n"),
      Buffer.from("1-1 1-1 1"),
      Buffer.concat([good, Buffer.of(0)]),
      good.subarray(0, -1),
      Buffer.from(text.replace(/^\d+-\d+/, "9007199254740993-0"), "latin1"),
      Buffer.from(text.replace(/^\d+-\d+ \d+-\d+/, "2-0 1-9007199254740993"), "latin1"),
      Buffer.from(text.replace(/ \d+\n/, " 99999999999999999999\n"), "latin1"),
      Buffer.from(text.replace(/ \d+\n/, " -1\n"), "latin1"),
      Buffer.from(text.replace(/^2/, "1"), "latin1"),
      Buffer.from(text.replace(/ \d+\n/, "\n"), "latin1"),
      Buffer.concat([Buffer.from(text.replace("\n", " 1\n"), "latin1"), Buffer.of(0)]),
      Buffer.concat([good.subarray(0, -1), Buffer.alloc(1 << 20)]),
      "b",
    ]
  ) assertEquals(entryIn(bad), undefined, String(bad).slice(0, 100));
  log.wake(Buffer.of(0xff, 0x0a, 0x00));
  assertEquals(await log.next(), ["b"]);
  assertEquals(log.reads, 2);
});

Deno.test("redis-stream: more wakes than are kept are read", async () => {
  const log = await Log.open("a");
  const names = numbered(1_000);
  for (const name of names) log.wake(log.add(name));
  const heard: unknown[] = [];
  while (heard.length < 1_000) heard.push(...await log.next());
  assertEquals(heard, names);
  // Those behind them are read once, not again and again.
  log.wake(log.add("last"));
  assertEquals(await log.next(), ["last"]);
  assert(log.reads <= 12, `${log.reads} reads`);
});

/** A log of a test's own, and a tail behind its first entry. */
class Log {
  readonly entries: { id: string; payload: string }[] = [];
  /** How often it was read; once when the tail begins. */
  reads = 0;
  readonly #tail: StreamTail;
  readonly #begun = Promise.withResolvers<void>();
  #read: Promise<ReadResult> | undefined;

  private constructor(first: string) {
    this.add(first);
    const position = Position.of(placeOf("1-0", fingerprintOf(first)));
    this.#tail = new StreamTail("channel", position, {
      read: (_, { after, limit }) => {
        this.reads++;
        this.#begun.resolve();
        const last = after!.in(0)!;
        const items = this.entries.map(({ id, payload }) => ({
          kind: "record" as const,
          payload,
          place: placeOf(id, fingerprintOf(payload)),
        }));
        // One that is not the same is told from its start: what a backend adds is not of interest.
        const next = items.findIndex(({ place }) =>
          place.at === last.at && place.fingerprint === last.fingerprint
        );
        return Promise.resolve({ from: after!, items: items.slice(next + 1, next + 1 + limit) });
      },
    }, () => {});
    this.#read = this.#tail.tail.read();
  }

  /** Resolves once the tail has read to the end of the log. */
  static async open(first: string): Promise<Log> {
    const log = new Log(first);
    await log.#begun.promise;
    return log;
  }

  /** Adds an entry; returns its wake. */
  add(payload: string): Buffer {
    const last = this.entries.at(-1);
    const id = `${this.entries.length + 1}-0`;
    this.entries.push({ id, payload });
    const before = last?.payload ?? "";
    const line = `${id} ${last?.id ?? "0-0"} ${before.length} ${payload.length}\n`;
    return Buffer.from(`${line}${before.slice(0, 64)}${payload}`);
  }

  wake(wake: Buffer | string): void {
    this.#tail.receive(wake);
  }

  /** The messages of the next read. */
  async next(): Promise<string[]> {
    const result = await (this.#read ?? this.#tail.tail.read());
    this.#read = undefined;
    const items = result.done ? [] : result.value;
    return items.map((item) => item.kind === "record" ? String(item.payload) : item.kind);
  }
}

/** A broadcast, and a client that hears the wakes of a stream. */
class Wakes implements AsyncDisposable {
  readonly stream: Stream;
  readonly broadcast: Broadcast;
  readonly #listener: Redis;
  readonly #wakes: Buffer[] = [];

  private constructor(stream: Stream, broadcast: Broadcast, listener: Redis) {
    this.stream = stream;
    this.broadcast = broadcast;
    this.#listener = listener;
    listener.on("messageBuffer", (_, wake) => this.#wakes.push(wake));
  }

  static async open(url: string, publisher = url): Promise<Wakes> {
    const stream = await Stream.open(url);
    const listener = stream.client.duplicate();
    const wakes = new Wakes(stream, new Broadcast(publisher), listener);
    await listener.subscribe(`${stream.key}:wake`);
    return wakes;
  }

  /** What each wake has carried so far; an empty text if nothing. */
  async heard(): Promise<string[]> {
    await this.#listener.ping();
    return this.#wakes.map((wake) => {
      const item = entryIn(wake)?.item;
      return item?.kind === "record" ? String(item.payload) : "";
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.broadcast.disconnect();
    await closed(this.#listener);
    await this.stream[Symbol.asyncDispose]();
  }
}
