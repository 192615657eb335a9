import { assert, assertEquals } from "@std/assert";
import type { Broadcast } from "../../mod.ts";

/** Publishes with a key until it is new again. */
export async function assertExpires(
  broadcast: Broadcast<Record<string, unknown>>,
  channel: string,
): Promise<void> {
  const started = performance.now();
  const publish = () =>
    broadcast.publish(channel, "m", { idempotencyKey: "k", idempotencyTtl: 400 });
  const first = await publish();
  let id = first;
  while (id === first) id = await publish();
  assert(performance.now() - started >= 399);
  const past = await broadcast.history(channel);
  assertEquals(past.map(({ id }) => id), [first, id]);
}
