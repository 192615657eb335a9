/** Slots that move at the worst moment, which no cluster does on demand. */

import { assertEquals, assertRejects } from "@std/assert";
import {
  type Cluster,
  type Node,
  REDIRECTIONS,
  type Route,
} from "../../../../backends/redis/cluster/cluster.ts";
import { Redirects } from "../../../../backends/redis/cluster/redirects.ts";

const MOVED = new Error("MOVED 1 127.0.0.1:7001");

function cases(): void {
  Deno.test("redis-cluster: what is given while others come back waits for them", async () => {
    const { redirects, sent, answer } = rig();
    const published = ["a", "b", "c"].map((payload) =>
      redirects.publish([{ channel: "channel", payload }])[0]
    );
    await answer("ok", MOVED);
    // The first has arrived, the second has come back, and the third is still under way.
    published.push(redirects.publish([{ channel: "channel", payload: "d" }])[0]);
    assertEquals(sent, ["old a", "old b", "old c"]);
    await answer(MOVED);
    published.push(redirects.publish([{ channel: "channel", payload: "e" }])[0]);
    await answer("ok", "ok", "ok", "ok");
    assertEquals(await Promise.all(published), ["ok", "ok", "ok", "ok", "ok"]);
    assertEquals(sent.slice(3), ["new b", "new c", "new d", "new e"]);
  });

  Deno.test("redis-cluster: what one turn brings for a node is sent together", async () => {
    const { redirects, sent, calls, answer } = rig();
    const turn = ["a1", "b1", "a2", "b2"].map((payload) => ({ channel: payload[0]!, payload }));
    const published = redirects.publish(turn);
    assertEquals([calls(), sent], [1, ["old a1", "old a2", "old b1", "old b2"]]);
    await answer("ok a1", "ok a2", MOVED, "ok b2");
    await answer("ok b1");
    assertEquals(await Promise.all(published), ["ok a1", "ok b1", "ok a2", "ok b2"]);
    assertEquals([calls(), sent[4]], [2, "new b1"]);
  });

  Deno.test("redis-cluster: what no node wants is refused in the end", async () => {
    const { redirects, sent, answer } = rig();
    const [outcome] = redirects.publish([{ channel: "channel", payload: "a" }]);
    const refused = assertRejects(() => outcome!, Error, "MOVED");
    for (let time = 0; time <= REDIRECTIONS; time++) await answer(MOVED);
    await refused;
    assertEquals(sent.length, REDIRECTIONS + 1);
  });
}

/** Redirects from an old owner, and from the first redirection on to a new one. */
function rig() {
  const sent: string[] = [];
  let calls = 0;
  const waiting: ((answer: unknown) => void)[] = [];
  let owner = "old";
  const route = () => ({ node: owner, asking: false }) as unknown as Route<Node>;
  const redirect = () => Promise.resolve((owner = "new", route()));
  const cluster = { route, redirect, doubt: () => {} } as unknown as Cluster<Node>;
  const redirects = new Redirects<Node, unknown>(
    cluster,
    ({ node }, messages) => {
      calls++;
      return messages.map(({ payload }) => {
        sent.push(`${node} ${payload}`);
        return new Promise((resolve, reject) =>
          waiting.push((answer) => answer instanceof Error ? reject(answer) : resolve(answer))
        );
      });
    },
  );
  return {
    redirects,
    sent,
    calls: () => calls,
    /** Answers what was sent first, and lets that take effect. */
    answer: async (...answers: unknown[]) => {
      for (const answer of answers) waiting.shift()!(answer);
      await new Promise((resolve) => setTimeout(resolve, 0));
    },
  };
}

cases();
