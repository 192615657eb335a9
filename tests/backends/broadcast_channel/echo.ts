/** A worker that answers what it hears on the channel of its name. */

import { Broadcast } from "../../../mod.ts";

const { name } = globalThis as unknown as { name: string };
const broadcast = new Broadcast("broadcast-channel://");
const subscription = await broadcast.subscribe(name);
await broadcast.publish(name, "ready");
for await (const { message } of subscription) {
  if (/^m\d+$/.test(message)) await broadcast.publish(name, `echo ${message}`);
  if (message === "stop") break;
}
await broadcast.publish(name, "stopped");
await broadcast.disconnect();
