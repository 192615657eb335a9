/** A worker that posts faster than a busy thread can hear. */

import { Broadcast } from "../../mod.ts";

/** What the worker is told first. */
interface Task {
  readonly channel: string;
  readonly count: number;
  /** Set once all is posted. */
  readonly done: Int32Array;
}

const scope = globalThis as unknown as Worker;
const broadcast = new Broadcast("broadcast-channel://");
let channel = "";
scope.onmessage = async ({ data }: MessageEvent<Task | "end">) => {
  if (data === "end") {
    await broadcast.publish(channel, "end");
    return;
  }
  channel = data.channel;
  const numbers = Array.from({ length: data.count }, (_, number) => `${number}`);
  await Promise.all(numbers.map((message) => broadcast.publish(channel, message)));
  Atomics.store(data.done, 0, 1);
  Atomics.notify(data.done, 0);
};
scope.postMessage("ready");
