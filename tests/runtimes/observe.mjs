// What Node and Bun tell of a broadcast: diagnostics channels, and the debug log on standard error.

import assert from "node:assert/strict";
import diagnostics from "node:diagnostics_channel";
import process from "node:process";
import { Broadcast } from "@broadcaster/broadcaster";

const told = [];
const names = ["publish", "subscribe", "gap", "reconnect"];
for (const name of process.getBuiltinModule ? names : []) {
  diagnostics.subscribe(`broadcaster:${name}`, (notice) => told.push([name, notice]));
}
const broadcast = new Broadcast("memory://");
const subscription = await broadcast.subscribe("100%s", { after: "of no channel" });
await broadcast.publish("100%s", "a secret");
for await (const _ of subscription) break;
assert.equal(broadcast.stats().delivered, 1);
assert.equal((await broadcast.health()).ok, true);
await broadcast.disconnect();
if (process.getBuiltinModule) {
  assert.deepEqual(told.map(([name]) => name), ["gap", "subscribe", "publish"]);
  for (const [, notice] of told) assert.equal(notice.broadcast, broadcast);
}
