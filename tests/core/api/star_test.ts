/** A star in the name of a channel: the process is warned, since a pattern was probably meant. */

import { assertEquals } from "@std/assert";
import process from "node:process";
import { Broadcast } from "../../../mod.ts";

/** The warnings of the process while something runs. */
async function warnings(run: () => Promise<void>): Promise<string[]> {
  const found: string[] = [];
  const { emitWarning } = process;
  Object.assign(process, {
    emitWarning: (message: string, type: string) => found.push(`${type}: ${message}`),
  });
  try {
    await run();
  } finally {
    Object.assign(process, { emitWarning });
  }
  return found;
}

Deno.test("subscribe() to a string with a star warns, once for each broadcast", async () => {
  const found = await warnings(async () => {
    for (let count = 0; count < 2; count++) {
      await using broadcast = new Broadcast("memory://");
      await broadcast.subscribe("room.*");
      await broadcast.subscribe("chat.*");
    }
  });
  const message =
    'BroadcasterWarning: subscribe("room.*") subscribes to one channel of that name. For all matching channels, write subscribe({ pattern: "room.*" }). For this one channel, write subscribe(["room.*"]).';
  assertEquals(found, [message, message]);
});

Deno.test("nothing warns of a pattern, of an array, or of a name without a star", async () => {
  const found = await warnings(async () => {
    await using broadcast = new Broadcast("memory://");
    await broadcast.subscribe({ pattern: "room.*" });
    await broadcast.subscribe(["room.*"]);
    await broadcast.subscribe("room.?");
    await broadcast.publish("room.*", "hello");
  });
  assertEquals(found, []);
});

Deno.test("without a process that warns, nothing is said, and it works", async () => {
  const { emitWarning } = process;
  Object.assign(process, { emitWarning: undefined });
  try {
    await using broadcast = new Broadcast("memory://");
    await broadcast.subscribe("room.*");
  } finally {
    Object.assign(process, { emitWarning });
  }
});
