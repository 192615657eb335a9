import { assertEquals } from "@std/assert";
import { Broadcast, bytes } from "../../../mod.ts";
import { messages, numbered, uniqueChannel } from "../../conformance/harness.ts";

Deno.test("broadcast-channel: a worker and this thread hear each other", async () => {
  const channel = uniqueChannel();
  await using broadcast = new Broadcast("broadcast-channel://");
  const subscription = await broadcast.subscribe(channel);
  const worker = new Worker(new URL("./echo.ts", import.meta.url), {
    type: "module",
    name: channel,
  });
  // It says "ready" once it has subscribed, and then answers what it hears.
  assertEquals(await messages(subscription, 1), ["ready"]);
  for (const message of numbered(50)) await broadcast.publish(channel, message);
  const heard = await messages(subscription, 100);
  assertEquals(heard.filter((message) => !String(message).startsWith("echo ")), numbered(50));
  assertEquals(
    heard.filter((message) => String(message).startsWith("echo ")),
    numbered(50, "echo m"),
  );
  await broadcast.publish(channel, "stop");
  assertEquals(await messages(subscription, 2), ["stop", "stopped"]);
  worker.terminate();
});

Deno.test("broadcast-channel: other programs share it, with the payload alone", async () => {
  const channel = uniqueChannel();
  await using broadcast = new Broadcast("broadcast-channel://", { codec: bytes() });
  const subscription = await broadcast.subscribe(channel);
  const stranger = new BroadcastChannel(channel);
  const heard = new Promise((resolve) => stranger.onmessage = ({ data }) => resolve(data));
  await broadcast.publish(channel, new Uint8Array([1, 2]));
  assertEquals(await heard, new Uint8Array([1, 2]));
  for (const data of [{ no: "message" }, 7, null, "text"]) stranger.postMessage(data);
  const received = await messages(subscription as never, 2);
  assertEquals(received, [new Uint8Array([1, 2]), new TextEncoder().encode("text")]);
  stranger.close();
});

Deno.test("broadcast-channel: many channels are published to without an object for each", async () => {
  await using broadcast = new Broadcast("broadcast-channel://");
  const names = Array.from({ length: 600 }, uniqueChannel);
  const first = await broadcast.subscribe(names[0]!);
  const last = await broadcast.subscribe(names.at(-1)!);
  for (const name of [...names, ...names]) broadcast.publish(name, name);
  assertEquals(await messages(first, 2), [names[0], names[0]]);
  assertEquals(await messages(last, 2), [names.at(-1), names.at(-1)]);
});
