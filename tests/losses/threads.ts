/** What Deno loses between threads: of what one posts, another that is busy gets some 256. */

import { assert, assertEquals } from "@std/assert";
import { Broadcast, type BroadcastEvent } from "../../mod.ts";
import { uniqueChannel, within } from "../conformance/harness.ts";

const COUNT = 2_000;
const PATIENCE = 60_000;

/** Between threads it loses, and tells nobody; within the thread it does not. */
export function betweenThreads(): void {
  Deno.test("broadcast-channel: what another thread posts while this one is busy is lost, unsaid", async () => {
    const channel = uniqueChannel();
    await using broadcast = new Broadcast("broadcast-channel://");
    const subscription = await broadcast.subscribe(channel);
    const done = new Int32Array(new SharedArrayBuffer(4));
    const worker = new Worker(new URL("./flood.ts", import.meta.url), { type: "module" });
    const ready = new Promise((resolve) => worker.onmessage = resolve);
    await within(ready);
    worker.postMessage({ channel, count: COUNT, done });
    // This thread hears nothing until all is posted.
    assert(Atomics.wait(done, 0, 0, PATIENCE) !== "timed-out", "The worker does not post");
    worker.postMessage("end");
    const events: BroadcastEvent<string>[] = [];
    for await (const event of subscription) {
      events.push(event);
      if (event.message === "end") break;
    }
    worker.terminate();
    assert(events.length < COUNT, `${events.length} of ${COUNT} have come`);
    assertEquals(events.filter(({ gap }) => gap), []);
  });
}
