/**
 * Control payloads: what travels beside the messages of a channel.
 *
 * @module
 */

import assert from "node:assert/strict";
import { controlOf } from "../../core/api/control.ts";
import { controlChannelOf } from "../../core/backend/control_channel.ts";
import { encrypted, json } from "../../mod.ts";
import { alsoUsed, messages, type Suite } from "./harness.ts";

/** Cases on control payloads. */
export function control({ test, features }: Suite): void {
  test("control payloads travel beside messages, and no pattern sees them", async ({ open, channel }) => {
    alsoUsed(controlChannelOf(channel));
    const broadcast = open({ codec: json() });
    const control = controlOf(broadcast);
    const subscription = await broadcast.subscribe(channel);
    const pattern = features.patterns
      ? await broadcast.subscribe({ pattern: `${channel}*` })
      : undefined;
    const beside = await control.subscribe(channel);
    await control.publish(channel, "joined: ü");
    await broadcast.publish(channel, "a message");
    await control.publish(channel, "left");
    assert.deepEqual((await messages(beside, 2)).map(textOf), ["joined: ü", "left"]);
    assert.deepEqual(await messages(subscription, 1), ["a message"]);
    await broadcast.publish(channel, "another");
    if (pattern) assert.deepEqual(await messages(pattern, 2), ["a message", "another"]);
  });

  if (!features.binary) return;
  test("control payloads are sealed where the channel is encrypted", async ({ open, channel }) => {
    alsoUsed(controlChannelOf(channel));
    const key = new Uint8Array(32).fill(7);
    const broadcast = open({ codec: encrypted(json(), { current: "a", keys: { a: key } }) });
    const stranger = features.crossProcess ? controlOf(open({ codec: json() })) : undefined;
    const failed: string[] = [];
    broadcast.addEventListener("messageerror", ({ channel }) => failed.push(channel));
    const seen = await stranger?.subscribe(channel);
    const beside = await controlOf(broadcast).subscribe(channel);
    await stranger?.publish(channel, "forged");
    await controlOf(broadcast).publish(channel, "secret");
    assert.deepEqual((await messages(beside, 1)).map(textOf), ["secret"]);
    if (!seen) return;
    const [, sealed] = (await messages(seen, 2)).map(textOf);
    assert.equal(sealed!.includes("secret"), false);
    assert.deepEqual(failed, [channel]);
  });
}

function textOf(payload: unknown): string {
  return new TextDecoder().decode(payload as Uint8Array);
}
