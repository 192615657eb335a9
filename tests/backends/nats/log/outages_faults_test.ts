/** JetStream that does not answer for a while, or answers that nobody is there. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { setTimeout as pause } from "node:timers/promises";
import { Broadcast, OutcomeUnknownError } from "../../../../mod.ts";
import { numbered } from "../../../conformance/harness.ts";
import { withBroker } from "../../../services/broker.ts";
import { start, startCluster, stepDown } from "../../../services/nats.ts";
import { Proxy } from "../../../services/proxy.ts";
import { Log } from "./stream.ts";

const CHANNELS = ["a", "b", "c", "d"];
/**
 * The refusal of a message that was not stored, while one after it was, or may have been: both were
 * on their way, and the connection was lost before the second one was answered.
 */
const OVERTAKEN = /and a later message of the channel may be published already$/;
/** Less than a message without an answer is waited for if no leader is known to be another one. */
const SOON = 10_000;

/** Publishes to four channels without a pause, with and without keys. */
class Publishing {
  readonly confirmed = new Map(CHANNELS.map((channel) => [channel, [] as string[]]));
  readonly unknown = new Set<string>();
  readonly errors: Error[] = [];
  /** How long a message took at most until it was settled, in milliseconds. */
  slowest = 0;
  #count = 0;
  readonly #broadcast: Broadcast;
  readonly #underway = new Set<Promise<void>>();
  #isOver = false;
  readonly #loop: Promise<void>;

  constructor(broadcast: Broadcast) {
    this.#broadcast = broadcast;
    this.#loop = this.#run();
  }

  /** Resolves once so many messages more are confirmed. */
  async more(count: number): Promise<void> {
    const enough = this.#total + count;
    while (this.#total < enough) await pause(5);
  }

  /** Ends it; resolves once all is answered. */
  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#loop;
    await Promise.all(this.#underway);
  }

  /** Whether nothing was refused but what was on its way, with a later message behind it. */
  checkErrors(): void {
    assertEquals(this.errors.filter(({ message }) => !OVERTAKEN.test(message)), []);
    assert(this.errors.length + this.unknown.size < this.#total / 2);
  }

  get #total(): number {
    return [...this.confirmed.values()].reduce((sum, { length }) => sum + length, 0);
  }

  async #run(): Promise<void> {
    while (!this.#isOver) {
      for (const channel of CHANNELS) this.#publish(channel, `${this.#count++}`);
      await pause(2);
    }
  }

  #publish(channel: string, message: string): void {
    const key = channel < "c" ? { idempotencyKey: message } : {};
    const since = performance.now();
    const answer = this.#broadcast.publish(channel, message, key).then(
      () => void this.confirmed.get(channel)!.push(message),
      (error) => {
        if (error instanceof OutcomeUnknownError) this.unknown.add(message);
        else this.errors.push(error);
      },
    ).finally(() => {
      this.slowest = Math.max(this.slowest, performance.now() - since);
      this.#underway.delete(answer);
    });
    this.#underway.add(answer);
  }
}

/** Whether the log has all that was confirmed, once and in order, and nothing that was refused. */
async function check(publishing: Publishing, broadcast: Broadcast): Promise<void> {
  for (const [channel, confirmed] of publishing.confirmed) {
    const events = await broadcast.history(channel, { limit: 100_000 });
    const stored = events.map(({ message }) => message).filter((one) =>
      !publishing.unknown.has(one)
    );
    // What was sent again is confirmed later than what was stored after it.
    assertEquals(stored, confirmed.sort((one, other) => Number(one) - Number(other)));
  }
}

function outages(url: string): void {
  Deno.test("nats-stream: silence is an unknown outcome, if another subscriber hides that nobody stores", async () => {
    await using log = await Log.open(url, "&storage=memory");
    await using broadcast = new Broadcast(`${Log.url(url, log.name)}&storage=memory`);
    await broadcast.publish("x", "before");
    log.client.subscribe(`${log.name}.>`, { callback: () => {} });
    await log.manager.streams.delete(log.name);
    const since = performance.now();
    await assertRejects(() => broadcast.publish("x", "a"), OutcomeUnknownError);
    assert(performance.now() - since < SOON);
    const keyed = await broadcast.publish("x", "b", { idempotencyKey: "b" });
    assertEquals((await broadcast.history("x")).map(({ id }) => id), [keyed]);
  });

  Deno.test("nats-stream: a server that restarts with many streams refuses only what may be overtaken", async () => {
    await using server = await start();
    const log = await Log.open(server.url);
    for (const name of numbered(200, "stream-")) {
      await log.manager.streams.add({ name, subjects: [`${name}.>`] });
    }
    await log[Symbol.asyncDispose]();
    await using broadcast = new Broadcast(
      `${server.url.replace("nats", "nats-stream")}?timeout=30s`,
    );
    const publishing = new Publishing(broadcast);
    for (let times = 0; times < 3; times++) {
      await publishing.more(400);
      await server.restart();
    }
    await publishing.more(400);
    await publishing.stop();
    publishing.checkErrors();
    await check(publishing, broadcast);
  });

  Deno.test("nats-stream: a stream whose leaders step down refuses only what was overtaken, and soon answers", async () => {
    const servers = await startCluster();
    await using _ = {
      async [Symbol.asyncDispose]() {
        for (const server of servers) await server[Symbol.asyncDispose]();
      },
    };
    const hosts = servers.map(({ url }) => new URL(url).host).join(",");
    await using broadcast = new Broadcast(`nats-stream://${hosts}?replicas=3&timeout=30s`);
    const publishing = new Publishing(broadcast);
    for (let times = 0; times < 5; times++) {
      await publishing.more(400);
      await stepDown(servers[0]!, "broadcaster");
    }
    await publishing.more(400);
    await publishing.stop();
    publishing.checkErrors();
    assert(publishing.slowest < SOON, `a message took ${publishing.slowest} ms`);
    await check(publishing, broadcast);
  });

  Deno.test("nats-stream: pages have a connection of their own, a slow one delays no message", async () => {
    await using log = await Log.open(url);
    await using proxy = await Proxy.start(Number(new URL(url).port));
    await using broadcast = new Broadcast(Log.url(proxy.url(url), log.name));
    const subscription = await broadcast.subscribe("x");
    await broadcast.publish("x", "before");
    assertEquals((await subscription.getReader().read()).value?.message, "before");
    proxy.stallNext();
    let isRead = false;
    const page = broadcast.history("x", { limit: 9 }).finally(() => isRead = true);
    for (const message of numbered(100)) await broadcast.publish("x", message);
    assertEquals(isRead, false);
    proxy.resume();
    assertEquals((await page).length, 9);
  });
}

withBroker("nats", outages);
