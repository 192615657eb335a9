/**
 * Logs that lose what they have accepted. Two readers are away meanwhile: one has seen
 * what is lost, the other one has not.
 */

import { assert, assertEquals } from "@std/assert";
import { Broadcast } from "../../mod.ts";
import { messages, take, uniqueChannel, within } from "../conformance/harness.ts";
import { Proxy } from "../services/proxy.ts";
import type { Server } from "../services/server.ts";

/** A log that is about to forget. */
export interface Forgetful {
  /** The URL of the log on a port. */
  readonly url: (port: number) => string;
  /** The server that is published to. */
  readonly server: Server;
  /** Makes sure that what was published so far stays. */
  readonly store: () => Promise<unknown>;
  /** Loses what was published since; tells where the log is from then on. */
  readonly lose: () => Promise<Server>;
  /** Whether another channel is published to first: then its message may take the place. */
  readonly elsewhere?: boolean;
}

/** What is lost after it was accepted is told to who had seen it, and to nobody else. */
export async function forgets(log: Forgetful): Promise<void> {
  const { url, server } = log;
  await using seeing = await Proxy.start(server.port);
  await using blind = await Proxy.start(server.port);
  await using one = new Broadcast(url(seeing.port));
  await using other = new Broadcast(url(blind.port));
  const channel = uniqueChannel();
  const seen = await one.subscribe(channel);
  const unseen = await other.subscribe(channel);
  const before = new Broadcast(url(server.port));
  for (const message of ["a", "b"]) await before.publish(channel, message);
  for (const reader of [seen, unseen]) {
    assertEquals(await within(messages(reader, 2)), ["a", "b"]);
  }
  await log.store();
  leave(blind);
  await before.publish(channel, "c");
  const [lost] = await within(take(seen, 1));
  assertEquals(lost!.message, "c");
  leave(seeing);
  await before.disconnect();
  const { port } = await log.lose();
  await using after = new Broadcast(url(port));
  // Before anybody is back, and equal to what was lost: it must not pass for that.
  if (log.elsewhere) await after.publish(uniqueChannel(), "c");
  await after.publish(channel, "c");
  await after.publish(channel, "d");
  for (const proxy of [seeing, blind]) {
    proxy.redirect(port);
    await proxy.accept();
  }
  const events = await within(take(unseen, 2));
  assertEquals(events.map(({ message, gap }) => [message, gap]), [
    ["c", undefined],
    ["d", undefined],
  ]);
  assert(events[0]!.id !== lost!.id);
  const [first] = await within(take(seen, 1));
  assert(first!.gap, "who had seen what is lost is told");
  assertEquals((await after.history(channel)).map(({ message }) => message), ["a", "b", "c", "d"]);
}

/** As over a network that is down for a while. */
function leave(proxy: Proxy): void {
  proxy.refuse();
  proxy.cut();
}
