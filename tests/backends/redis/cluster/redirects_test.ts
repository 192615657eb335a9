/** What moves at the worst moment, which no cluster does on demand. */

import { assertEquals, assertRejects } from "@std/assert";
import {
  type Cluster,
  type Node,
  REDIRECTIONS,
  type Route,
} from "../../../../backends/redis/cluster/cluster.ts";
import { Redirects } from "../../../../backends/redis/cluster/redirects.ts";

const MOVED = new Error("MOVED 1 127.0.0.1:7001");

function lanes(): void {
  Deno.test("redis-cluster: what is given while others come back waits behind them", async () => {
    const { lanes, sent, answer } = rig();
    const published = ["a", "b", "c"].map((payload) => lanes.publish("channel", [payload])[0]);
    await answer("ok", MOVED);
    // The first has arrived, the second has come back, and the third is still under way.
    published.push(lanes.publish("channel", ["d"])[0]);
    assertEquals(sent, ["old a", "old b", "old c"]);
    await answer(MOVED);
    published.push(lanes.publish("channel", ["e"])[0]);
    await answer("ok", "ok", "ok", "ok");
    assertEquals(await Promise.all(published), ["ok", "ok", "ok", "ok", "ok"]);
    assertEquals(sent.slice(3), ["new b", "new c", "new d", "new e"]);
  });

  Deno.test("redis-cluster: what no node wants is refused in the end", async () => {
    const { lanes, sent, answer } = rig();
    const refused = assertRejects(() => lanes.publish("channel", ["a"])[0]!, Error, "MOVED");
    for (let time = 0; time <= REDIRECTIONS; time++) await answer(MOVED);
    await refused;
    assertEquals(sent.length, REDIRECTIONS + 1);
  });
}

/** Redirects from an old owner, and from the first redirection on to a new one. */
function rig() {
  const sent: string[] = [];
  const waiting: ((answer: unknown) => void)[] = [];
  let owner = "old";
  const route = () => ({ node: owner, asking: false }) as unknown as Route<Node>;
  const redirect = () => Promise.resolve((owner = "new", route()));
  const cluster = { route, redirect } as unknown as Cluster<Node>;
  const lanes = new Redirects<Node, unknown>(
    cluster,
    ({ node }, _, payloads) =>
      payloads.map((payload) => {
        sent.push(`${node} ${payload}`);
        return new Promise((resolve, reject) =>
          waiting.push((answer) => answer instanceof Error ? reject(answer) : resolve(answer))
        );
      }),
  );
  return {
    lanes,
    sent,
    /** Answers what was sent first, and lets that take effect. */
    answer: async (...answers: unknown[]) => {
      for (const answer of answers) waiting.shift()!(answer);
      await new Promise((resolve) => setTimeout(resolve, 0));
    },
  };
}

lanes();
