/** Kafka, which accepts what no disk has, and may let a follower take over that lags behind. */

import { join } from "node:path";
import { assert, assertEquals } from "@std/assert";
import { Broadcast } from "../../mod.ts";
import { Outsider } from "../backends/kafka/outsider.ts";
import { messages, take, uniqueChannel, within } from "../conformance/harness.ts";
import { run } from "../services/debian.ts";
import { start } from "../services/kafka.ts";
import { Proxy } from "../services/proxy.ts";
import { freePort, until } from "../services/service.ts";

/** What only the dead leader had is gone: told to who has seen it, unknown to who has not. */
export function uncleanElection(): void {
  Deno.test("kafka: what an unclean election loses is told only to who had seen it", async () => {
    const [controller, port] = [freePort(), freePort()];
    // What the follower fetches from the leader comes this way.
    await using between = await Proxy.start(port);
    const properties = { "replica.lag.time.max.ms": "1000" };
    const starting = [
      start({ node: { id: 1, controller }, properties }),
      start({
        node: { id: 2, controller },
        inside: { port, advertised: between.port },
        properties,
      }),
    ] as const;
    await using follower = await starting[0];
    await using leader = await starting[1];
    await using outsider = new Outsider(follower.url);
    const channel = uniqueChannel();
    await outsider.create({
      topic: channel,
      replicaAssignment: [{ partition: 0, replicas: [2, 1] }],
      configEntries: [
        { name: "unclean.leader.election.enable", value: "true" },
        { name: "min.insync.replicas", value: "1" },
      ],
    });
    const admin = await outsider.admin();
    const partition = async () =>
      (await admin.fetchTopicMetadata({ topics: [channel] })).topics[0]!.partitions[0]!;
    const url = `kafka://127.0.0.1:${leader.port},127.0.0.1:${follower.port}`;
    const before = new Broadcast(url);
    const ids = await publish(before, channel, ["a", "b"]);
    between.refuse();
    between.cut();
    // It is accepted once the follower that does not get it counts no more.
    ids.push(...await publish(before, channel, ["c"]));
    assertEquals((await partition()).isr, [2]);
    await before.disconnect();
    await leader.stop("SIGKILL");
    await until(async () => (await partition()).leader === 1, "No election");
    await resume(`kafka://127.0.0.1:${follower.port}`, channel, ids);
  });
}

/** All that has a record loses its power: the disk is as it was when it was last synced. */
export function powerCut(): void {
  Deno.test("kafka: what a power cut loses is told only to who had seen it", async () => {
    await using server = await start();
    const [disk, synced] = ["data", "synced"].map((name) => join(server.directory, name));
    const channel = uniqueChannel();
    const before = new Broadcast(server.url);
    const ids = await publish(before, channel, ["a", "b"]);
    // A process that is killed leaves all it has written to the system: only that can lose it.
    await run("cp", ["-a", disk!, synced!]);
    ids.push(...await publish(before, channel, ["c"]));
    await before.disconnect();
    await server.stop("SIGKILL");
    await Deno.remove(disk!, { recursive: true });
    await Deno.rename(synced!, disk!);
    await server.restart();
    await resume(server.url, channel, ids);
  });
}

/** Publishes one after the other; resolves with the ids. */
async function publish(broadcast: Broadcast, channel: string, messages: readonly string[]) {
  const ids: string[] = [];
  for (const message of messages) ids.push((await broadcast.publish(channel, message))!);
  return ids;
}

/** Of three events the last one is gone, and another one has its place: who learns of it. */
async function resume(url: string, channel: string, ids: readonly string[]): Promise<void> {
  await using broadcast = new Broadcast(`${url}?timeout=30s`);
  await broadcast.publish(channel, "d");
  const behind = async (id: string) =>
    (await within(take(await broadcast.subscribe(channel, { after: id }), 1)))[0]!;
  const unseen = await behind(ids[1]!);
  assertEquals([unseen.message, unseen.gap], ["d", undefined]);
  assert((await behind(ids[2]!)).gap, "who had seen what is lost is told");
  const all = await broadcast.subscribe(channel, { history: 10 });
  assertEquals(await within(messages(all, 3)), ["a", "b", "d"]);
}
