/** What is published once, while connections are lost, and publishers and brokers die. */

import { assert, assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import kafkajs from "kafkajs";
import { Broadcast, RefusedError } from "../../../mod.ts";
import { numbered, take, uniqueChannel } from "../../conformance/harness.ts";
import { Random } from "../../conformance/random.ts";
import { withBroker } from "../../services/broker.ts";
import { start } from "../../services/kafka.ts";
import { freePort, until } from "../../services/service.ts";
import { Outsider, registrar } from "./outsider.ts";
import { KafkaRig } from "./rig.ts";

const PATIENCE = 120_000;

/** Cases on a broker that serves others, too. */
function killed(url: string, name: string): void {
  const test = registrar(url, name);

  test("publishers that are killed in the middle leave each key to be stored once", async () => {
    const channel = uniqueChannel();
    const count = 200;
    await using broadcast = new Broadcast(url);
    const subscription = await broadcast.subscribe(channel);
    for (const share of [1, 2, 3]) {
      await using publishers = new Processes(2, url, channel, 10 * count);
      // Some are stored, and more are on their way.
      await take(subscription, share * 15);
      publishers.kill();
    }
    const keys = numbered(10 * count);
    const ids = await Promise.all(keys.map((key) => broadcast.publish(channel, key, { key })));
    await broadcast.publish(channel, "end");
    const events = await broadcast.history(channel, { limit: 20 * count });
    const seen = events.map(({ id, message }) => `${message} ${id}`);
    assertEquals(
      seen.slice(0, -1).toSorted(),
      keys.map((key, index) => `${key} ${ids[index]}`).toSorted(),
    );
  });

  test("who dies between taking the lease and using it holds up nobody", async (outsider) => {
    const channel = await outsider.topic(1);
    await using broadcast = new Broadcast(url);
    const id = await broadcast.publish(channel, "0", { key: "0" });
    const producer = outsider.kafka.producer({
      idempotent: true,
      transactionalId: `broadcaster:${channel}`,
      createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
    });
    await producer.connect();
    await producer.disconnect();
    await Promise.all(
      ["0", "1"].map((key) => broadcast.publish(channel, `${key} again`, { key })),
    );
    const events = await broadcast.history(channel);
    assertEquals(events.map(({ message }) => message), ["0", "1 again"]);
    assertEquals(events[0]!.id, id);
  });
}

/** Cases on brokers of their own. */
function keyFaults(version: string): void {
  Deno.test(`kafka ${version}: keys and lost connections`, async (t) => {
    await using rig = await KafkaRig.start(version);
    const { proxy, url, direct, server } = rig;
    const [cut, stall, resume] = [
      () => proxy.cut(),
      () => proxy.stall(),
      () => proxy.resume(),
    ];

    await step("what somebody has overtaken is refused when it arrives at last", async () => {
      const channel = uniqueChannel();
      await using slow = new Broadcast(url);
      await using other = new Broadcast(direct);
      await slow.publish(channel, "warm-up", { key: "warm-up" });
      proxy.stall();
      const late = ["a", "b"].map((key) => slow.publish(channel, `late ${key}`, { key }));
      // The bytes are on their way once the event loop has turned.
      await new Promise((resolve) => setTimeout(resolve, 0));
      const id = await other.publish(channel, "first a", { key: "a" });
      proxy.resume();
      assertEquals((await Promise.all(late))[0], id);
      const events = await other.history(channel);
      assertEquals(events.map(({ message }) => message), ["warm-up", "first a", "late b"]);
    });

    await step("connections that are cut at any time store each key once", async () => {
      for (let round = 0; round < 5; round++) {
        const seed = Math.floor(Math.random() * 2 ** 31);
        const random = new Random(seed);
        const channel = uniqueChannel();
        await using one = new Broadcast(`${url}?timeout=60s`);
        await using two = new Broadcast(`${url}?timeout=60s`);
        await using three = new Broadcast(`${direct}?timeout=60s`);
        // What is never connected is not sought again.
        await Promise.all([one, two, three].map((broadcast) => broadcast.connect()));
        const keys = numbered(100);
        const publishing = Promise.all(
          [one, two, three].map((broadcast) =>
            inTurn(keys, 1 + random.below(4), (key) => broadcast.publish(channel, key, { key }))
          ),
        );
        let isDone = false;
        const done = publishing.finally(() => isDone = true);
        for (let count = 0; count < 10 && !isDone; count++) {
          await new Promise((resolve) => setTimeout(resolve, random.below(60)));
          [cut, stall, resume][random.below(3)]!();
        }
        proxy.resume();
        await assertOnce(three, channel, keys, await done, `seed ${seed}`);
      }
    });

    await step("a broker that restarts stores each key once", async () => {
      const channel = uniqueChannel();
      await using one = new Broadcast(`${url}?timeout=60s`);
      await using two = new Broadcast(`${direct}?timeout=60s`);
      const keys = numbered(150);
      let count = 0;
      let restarting: Promise<void> | undefined;
      const publish = async (broadcast: Broadcast, key: string) => {
        const id = await broadcast.publish(channel, key, { key });
        if (++count === 50) {
          restarting = server.stop("SIGKILL").then(() => server.restart());
        }
        return id;
      };
      const ids = await Promise.all(
        [one, two].map((broadcast) => inTurn(keys, 3, (key) => publish(broadcast, key))),
      );
      await restarting;
      await assertOnce(one, channel, keys, ids, "restart");
    });

    async function step(what: string, body: () => Promise<void>): Promise<void> {
      await t.step(what, async () => {
        try {
          await deadline(body(), PATIENCE);
        } finally {
          proxy.resume();
          proxy.cut();
          await until(() => proxy.connections === 0, "Cannot cut all connections");
        }
      });
    }
  });
}

/** Cases on several nodes, and on one that is too few. */
function coordinators(): void {
  Deno.test("kafka: a leader and coordinator that dies takes no key along", async () => {
    const controller = freePort();
    const properties = {
      "transaction.state.log.replication.factor": "2",
      "transaction.state.log.num.partitions": "2",
    };
    const starting = [1, 2].map((id) => start({ node: { id, controller }, properties }));
    await using survivor = await starting[0]!;
    await using leader = await starting[1]!;
    await using outsider = new Outsider(survivor.url);
    const url = `kafka://127.0.0.1:${leader.port},127.0.0.1:${survivor.port}?timeout=60s`;
    await using one = new Broadcast(url);
    await using two = new Broadcast(url);
    const channels = Array.from({ length: 4 }, uniqueChannel);
    for (const topic of channels) {
      await outsider.create({
        topic,
        replicaAssignment: [{ partition: 0, replicas: [2, 1] }],
      });
    }
    const keys = numbered(200);
    let count = 0;
    let dying: Promise<void> | undefined;
    const publish = async (broadcast: Broadcast, channel: string, key: string) => {
      const id = await broadcast.publish(channel, key, { key });
      if (++count === 400) dying = leader.stop("SIGKILL");
      return id;
    };
    const ids = await deadline(
      Promise.all(
        channels.map((channel) =>
          Promise.all(
            [one, two].map((broadcast) =>
              inTurn(keys, 3, (key) => publish(broadcast, channel, key))
            ),
          )
        ),
      ),
      PATIENCE,
    );
    await dying;
    for (const [index, channel] of channels.entries()) {
      await assertOnce(one, channel, keys, ids[index]!, "failover");
    }
  });

  Deno.test("kafka: keys are refused where nobody coordinates transactions", async () => {
    const properties = { "transaction.state.log.replication.factor": "3" };
    await using server = await start({ properties });
    await using broadcast = new Broadcast(server.url);
    const channel = uniqueChannel();
    const outcomes = await Promise.allSettled([
      broadcast.publish(channel, "plain"),
      ...["a", "b"].map((key) => broadcast.publish(channel, "keyed", { key })),
      broadcast.publish(channel, "behind"),
    ]);
    const refusal = new RefusedError(
      `Cannot publish to "${channel}": keys need transactions, which no broker coordinates; is transaction.state.log.replication.factor larger than the cluster?`,
    );
    assertEquals(
      outcomes.map((outcome) => outcome.status === "rejected" ? String(outcome.reason) : "ok"),
      ["ok", String(refusal), String(refusal), "ok"],
    );
    const events = await broadcast.history(channel);
    assertEquals(events.map(({ message }) => message), ["plain", "behind"]);
  });
}

/** Publishes what several others publish, too: so many at once. */
async function inTurn(
  keys: readonly string[],
  size: number,
  publish: (key: string) => Promise<unknown>,
): Promise<unknown[]> {
  const ids: unknown[] = [];
  for (let from = 0; from < keys.length; from += size) {
    ids.push(...await Promise.all(keys.slice(from, from + size).map(publish)));
  }
  return ids;
}

/** Each key is stored once, and all publishers know where. */
async function assertOnce(
  broadcast: Broadcast,
  channel: string,
  keys: readonly string[],
  ids: readonly (readonly unknown[])[],
  what: string,
): Promise<void> {
  const events = await broadcast.history(channel, { limit: 2 * keys.length });
  const stored = new Map(events.map(({ id, message }) => [message, id]));
  assertEquals(events.length, keys.length, what);
  for (const known of ids) assertEquals(known, keys.map((key) => stored.get(key)), what);
}

/** Publishers of the same keys, in processes of their own. */
class Processes implements AsyncDisposable {
  readonly #children: Deno.ChildProcess[];

  constructor(count: number, url: string, channel: string, keys: number) {
    const script = new URL("keyed_publisher.ts", import.meta.url).pathname;
    const map = new URL("../../import_map.json", import.meta.url).pathname;
    const args = ["run", "-A", "--import-map", map, script, url, channel, String(keys)];
    this.#children = Array.from(
      { length: count },
      () => new Deno.Command(Deno.execPath(), { args, stdout: "null" }).spawn(),
    );
  }

  kill(): void {
    for (const child of this.#children) child.kill("SIGKILL");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) assert(!(await child.status).success);
  }
}

for (const line of ["kafka", "kafka4"]) withBroker(line, (url) => killed(url, line));
withBroker("kafka", () => {
  keyFaults("3.9.1");
  coordinators();
});
withBroker("kafka4", () => keyFaults("4.1.1"));
