/** Channels that are ended: whoever comes to that place is done, live, late or resuming. */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { eventStream } from "../../../core/sse/mod.ts";
import {
  Broadcast,
  bytes,
  type Codec,
  compressed,
  encrypted,
  type Gap,
  GapError,
  json,
  type Schema,
  type Subscription,
} from "../../../mod.ts";
import { messages, numbered, take, uniqueChannel } from "../../conformance/harness.ts";

const CHANNEL = "run.42";
const TOKENS = numbered(50);
const KEYS = { current: "now", keys: { now: new Uint8Array(32).fill(7) } };
const OTHER = { current: "old", keys: { old: new Uint8Array(16).fill(1) } };

Deno.test("closing a stream ends the channel: live, late and resuming readers are done", async () => {
  await using broadcast = new Broadcast("memory://");
  const live = rest(await broadcast.subscribe(CHANNEL));
  const source = ReadableStream.from(TOKENS);
  await source.pipeTo(broadcast.writable(CHANNEL, { end: true }));
  assertEquals(await live, TOKENS);
  assertEquals(await rest(await broadcast.subscribe(CHANNEL, { history: 100 })), TOKENS);
  const past = await broadcast.history(CHANNEL);
  assertEquals(past.map(({ message }) => message), TOKENS);
  for (const from of [0, 20, 49]) {
    const resumed = await broadcast.subscribe(CHANNEL, { after: past[from]!.id });
    assertEquals(await rest(resumed), TOKENS.slice(from + 1));
  }
});

Deno.test("a reader that lags, or fell behind the ring, comes to the end as well", async () => {
  await using broadcast = new Broadcast("memory://?buffer=8&history=1000");
  const [lagging, behind] = [
    await broadcast.subscribe(CHANNEL),
    await broadcast.subscribe(CHANNEL),
  ];
  await ReadableStream.from(numbered(5)).pipeTo(broadcast.writable(CHANNEL, { end: true }));
  assertEquals(await rest(lagging), numbered(5));
  await ReadableStream.from(numbered(100)).pipeTo(broadcast.writable(CHANNEL));
  assertEquals(await rest(behind), numbered(5));
});

Deno.test("who starts live after an end waits for what is published next", async () => {
  await using broadcast = new Broadcast("memory://");
  await ReadableStream.from(["a"]).pipeTo(broadcast.writable(CHANNEL, { end: true }));
  const subscription = await broadcast.subscribe(CHANNEL);
  const keeps = await broadcast.subscribe(CHANNEL);
  await broadcast.publish(CHANNEL, "b");
  assertEquals(await messages(subscription, 1), ["b"]);
  // A channel may be ended again.
  await broadcast.writable(CHANNEL, { end: true }).close();
  assertEquals(await rest(keeps), ["b"]);
  assertEquals(await rest(subscription), []);
  assertEquals(await rest(await broadcast.subscribe(CHANNEL, { history: 10 })), ["a"]);
});

Deno.test("a subscription to several is done when all of them are, a pattern goes on", async () => {
  await using broadcast = new Broadcast("memory://");
  const all = rest(await broadcast.subscribe(["run.1", "run.2"]));
  const pattern = await broadcast.subscribe({ pattern: "run.*" });
  await ReadableStream.from(["a"]).pipeTo(broadcast.writable("run.1", { end: true }));
  await ReadableStream.from(["b"]).pipeTo(broadcast.writable("run.2", { end: true }));
  assertEquals((await all).sort(), ["a", "b"]);
  await broadcast.publish("run.3", "c");
  assertEquals(await messages(pattern, 3), ["a", "b", "c"]);
});

Deno.test("an event stream tells its client not to come back", async () => {
  await using broadcast = new Broadcast("memory://");
  const text = new Response(eventStream(await broadcast.subscribe(CHANNEL))).text();
  await ReadableStream.from(["a"]).pipeTo(broadcast.writable(CHANNEL, { end: true }));
  assertEquals((await text).split("\n\n").slice(-2), [
    "retry: 2147483647\nevent: end\ndata: end",
    "",
  ]);
  // And why, where that was said.
  const said = new Response(eventStream(await broadcast.subscribe(CHANNEL))).text();
  await broadcast.writable(CHANNEL, { end: "too\nlong" }).close();
  assertEquals(
    (await said).endsWith("retry: 2147483647\nevent: end\ndata: too\ndata: long\n\n"),
    true,
  );
  // Not if it is the server that goes.
  const other = new Broadcast("memory://");
  const ended = new Response(eventStream(await other.subscribe(CHANNEL))).text();
  await other.disconnect();
  assertEquals((await ended).includes("event: end"), false);
});

Deno.test("without a log there is nothing to end, and the stream says so", async () => {
  await using broadcast = new Broadcast("memory://?history=0");
  const writer = broadcast.writable(CHANNEL, { end: true }).getWriter();
  await assertRejects(
    () => writer.closed,
    TypeError,
    `Cannot end "${CHANNEL}": memory keeps no log with history=0`,
  );
  await assertRejects(() => writer.write("a"), TypeError);
  await broadcast.writable(CHANNEL).close();
});

Deno.test("bytes that would end a channel are refused", async () => {
  await using broadcast = new Broadcast("memory://", { codec: bytes() });
  await assertRejects(
    () => broadcast.publish(CHANNEL, Uint8Array.of(0xc1, 0x2e)),
    TypeError,
    `Cannot publish to "${CHANNEL}": the payload is the mark that ends a channel, use writable() with the option end`,
  );
});

Deno.test("the reason of an end reaches every subscription that comes to it, and no other", async () => {
  await using broadcast = new Broadcast("memory://");
  const live = await broadcast.subscribe(CHANNEL);
  const piped = await broadcast.subscribe(CHANNEL);
  const left = await broadcast.subscribe(CHANNEL);
  const reading = live.values().next();
  assertEquals(live.endReason, undefined);
  await broadcast.writable(CHANNEL, { end: "out of\ntokens ✋" }).close();
  assertEquals((await reading).done, true);
  await piped.pipeTo(new WritableStream());
  left.close();
  const late = await broadcast.subscribe(CHANNEL, { history: 10 });
  assertEquals(late.endReason, undefined);
  assertEquals(await rest(late), []);
  assertEquals(await rest(left), []);
  for (const { endReason } of [live, piped, late]) assertEquals(endReason, "out of\ntokens ✋");
  assertEquals(left.endReason, undefined);
});

Deno.test("without a reason, and with an empty one, the reason is empty", async () => {
  await using broadcast = new Broadcast("memory://");
  for (const end of [true, ""]) {
    const subscription = await broadcast.subscribe(CHANNEL);
    await broadcast.writable(CHANNEL, { end }).close();
    assertEquals(await rest(subscription), []);
    assertEquals(subscription.endReason, "");
  }
  const goesOn = await broadcast.subscribe(CHANNEL);
  await broadcast.writable(CHANNEL, { end: false }).close();
  await broadcast.disconnect();
  assertEquals(await rest(goesOn), []);
  assertEquals(goesOn.endReason, undefined);
});

Deno.test("each end among the events of the ring has its own reason", async () => {
  await using broadcast = new Broadcast("memory://");
  const subscriptions: Subscription[] = [];
  for (const reason of ["one", "two", "three"]) {
    subscriptions.push(await broadcast.subscribe(CHANNEL));
    await broadcast.publish(CHANNEL, reason);
    await broadcast.writable(CHANNEL, { end: reason }).close();
  }
  for (const subscription of subscriptions.reverse()) {
    const [only] = await rest(subscription);
    assertEquals(subscription.endReason, only);
  }
});

Deno.test("of several channels the reason is that of the one that ended last", async () => {
  await using broadcast = new Broadcast("memory://");
  for (const names of [["run.1", "run.2"], ["run.2", "run.1"]]) {
    const all = await broadcast.subscribe(["run.1", "run.2"]);
    const done = rest(all);
    for (const name of names) await broadcast.writable(name, { end: `${name} is over` }).close();
    await done;
    assertEquals(all.endReason, `${names[1]} is over`);
  }
});

Deno.test("both branches of a subscription that is teed have the reason", async () => {
  await using broadcast = new Broadcast("memory://");
  for (const target of [CHANNEL, [CHANNEL, "run.43"]]) {
    const branches = (await broadcast.subscribe(target)).tee();
    for (const name of [target].flat()) await broadcast.writable(name, { end: name }).close();
    for (const branch of branches) {
      assertEquals(await rest(branch), []);
      assertEquals(branch.endReason, [target].flat().at(-1));
    }
  }
});

Deno.test("the reason of an end has at most 1 KiB, and is a text", async () => {
  await using broadcast = new Broadcast("memory://");
  const subscription = await broadcast.subscribe(CHANNEL);
  const refused: [unknown, string][] = [
    ["é".repeat(513), "option end has 1026 bytes, the limit is 1024"],
    ["\ud800", "option end has a lone surrogate"],
    [1, "option end must be true, false or a reason, it is a number"],
    [null, "option end must be true, false or a reason, it is null"],
  ];
  for (const [end, problem] of refused) {
    const write = () => broadcast.writable(CHANNEL, { end: end as string });
    const { message } = assertThrows(write, Error);
    assertEquals(message, `Cannot write to channel "${CHANNEL}": ${problem}`);
  }
  await broadcast.writable(CHANNEL, { end: "é".repeat(512) }).close();
  assertEquals(await rest(subscription), []);
  assertEquals(subscription.endReason, "é".repeat(512));
});

Deno.test("bytes that only begin as an end mark does are a message", async () => {
  await using broadcast = new Broadcast("memory://", { codec: bytes() });
  const subscription = await broadcast.subscribe(CHANNEL);
  const alike = [[0xc1, 0x2e, 0xff], [0xc1, 0x2e, ...Array(1_025).fill(0x61)], [0xc1, 0x73, 1]];
  const sent = alike.map((one) => Uint8Array.from(one));
  for (const one of sent) await broadcast.publish(CHANNEL, one);
  assertEquals(await messages(subscription, sent.length), sent);
});

Deno.test("ends and events keep their order where codecs take their time", async () => {
  const codec = encrypted(json(), KEYS);
  await using broadcast = new Broadcast("memory://", { codec });
  const subscription = await broadcast.subscribe(CHANNEL);
  const writer = broadcast.writable(CHANNEL, { end: "over" }).getWriter();
  for (const one of numbered(10)) void writer.write(one);
  await writer.close();
  await broadcast.publish(CHANNEL, "later");
  assertEquals(await rest(subscription), numbered(10));
  assertEquals(subscription.endReason, "over");
  const late = await broadcast.subscribe(CHANNEL, { history: 100 });
  // Of the past it has what was published after the end, too, and stops before it.
  assertEquals(await rest(late), numbered(10));
  assertEquals(late.endReason, "over");
});

/** Codecs that seal, and what they are called. */
const SEALING: Record<string, () => Codec<unknown>> = {
  encrypted: () => encrypted(json(), KEYS),
  "compressed inside": () => encrypted(compressed(json()), KEYS),
  "compressed outside": () => compressed(encrypted(json(), KEYS)),
  twice: () => encrypted(encrypted(json(), OTHER), KEYS),
};

for (const [name, make] of Object.entries(SEALING)) {
  Deno.test(`${name}: who has no key ends nothing, and says no message is an end`, async () => {
    const url = `memory://${uniqueChannel()}`;
    await using broadcast = new Broadcast(url, { codec: make() });
    await using stranger = new Broadcast(url, { codec: bytes() });
    const seen = await stranger.subscribe(CHANNEL);
    const reader = seen.values();
    const problems: string[] = [];
    broadcast.addEventListener("messageerror", ({ error }) => problems.push(String(error)));
    const subscription = await broadcast.subscribe(CHANNEL);
    const pattern = await broadcast.subscribe({ pattern: "run.*" });

    await broadcast.publish(CHANNEL, "message");
    const message = (await reader.next()).value!.message;
    await broadcast.writable("run.43", { end: "moved" }).close();
    const others = await stranger.subscribe("run.43", { history: 1 });
    const moved = (await others.values().next()).value!.message;
    await stranger.writable(CHANNEL, { end: true }).close();
    await stranger.writable(CHANNEL, { end: "a" }).close();
    const forged = [
      Uint8Array.of(0xc1, 0x73),
      // A message that claims to be sealed, and an end of another channel.
      withKind(message, 0x73),
      moved,
    ];
    for (const one of forged) await stranger.publish(CHANNEL, one);
    await broadcast.publish(CHANNEL, "still there");
    assertEquals(await messages(subscription, 2), ["message", "still there"]);
    assertEquals(await messages(pattern, 2), ["message", "still there"]);
    // Once for the channel, once for the pattern.
    assertEquals(problems.length, 2 * (2 + forged.length));
    assert(problems.every((problem) => problem.startsWith("Error: Cannot ")), problems.join("\n"));

    const past = await broadcast.history(CHANNEL);
    assertEquals(past.map(({ message }) => message), ["message", "still there"]);
    const live = await broadcast.subscribe(CHANNEL);
    await broadcast.writable(CHANNEL, { end: "secret" }).close();
    assertEquals(await rest(live), []);
    assertEquals(live.endReason, "secret");
    const late = await broadcast.subscribe(CHANNEL, { after: past[1]!.id });
    assertEquals(await rest(late), []);
    assertEquals(late.endReason, "secret");
  });
}

Deno.test("encrypted: an end that claims to be a message is none", async () => {
  const codec = encrypted(json(), KEYS);
  const sealed = await codec.seal!(Uint8Array.of(0xc1, 0x2e), CHANNEL);
  await assertRejects(async () => await codec.decode(withKind(sealed, 0x65), CHANNEL), Error);
  await assertRejects(async () => await codec.decode(sealed, CHANNEL), Error, "not encrypted");
  await assertRejects(async () => await compressed(json()).decode(sealed, CHANNEL), Error);
});

Deno.test("encrypted: while publishers change over, ends that are not encrypted count", async () => {
  const url = `memory://${uniqueChannel()}`;
  const plain = new Broadcast(url, { codec: json() });
  const codec = encrypted(json(), { ...KEYS, plain: true });
  await using broadcast = new Broadcast(url, { codec });
  for (const from of [plain, broadcast]) {
    const subscription = await broadcast.subscribe(CHANNEL);
    await from.writable(CHANNEL, { end: "over" }).close();
    assertEquals(await rest(subscription), []);
    assertEquals(subscription.endReason, "over");
  }
  await plain.disconnect();
});

Deno.test("schemas pass on how the codec around them seals", async () => {
  const url = `memory://${uniqueChannel()}`;
  const schema: Schema<string> = {
    "~standard": { version: 1, vendor: "test", validate: (value) => ({ value: String(value) }) },
  };
  const options = { codec: encrypted(json(), KEYS), channels: { "run.*": schema } };
  await using broadcast = new Broadcast(url, options);
  await using stranger = new Broadcast(url, { codec: bytes() });
  const subscription = await broadcast.subscribe(CHANNEL);
  await stranger.writable(CHANNEL, { end: true }).close();
  await broadcast.writable(CHANNEL, { end: "over" }).close();
  assertEquals(await rest(subscription), []);
  assertEquals(subscription.endReason, "over");
});

Deno.test("a gap right before the end is told, where no event can carry it", async () => {
  await using broadcast = new Broadcast("memory://?history=3&buffer=2");
  const first = await broadcast.publish(CHANNEL, "first");
  await ReadableStream.from(numbered(5)).pipeTo(broadcast.writable(CHANNEL, { end: true }));
  // Of the three that the log still has, the end is one.
  await broadcast.writable(CHANNEL, { end: true }).close();
  await broadcast.writable(CHANNEL, { end: true }).close();
  const resume = { after: first! };
  const silent = await broadcast.subscribe(CHANNEL, resume);
  const error = await assertRejects(() => rest(silent), GapError);
  assertEquals(error.message, "Cannot continue to the end: events may be missing (trimmed)");
  assertEquals(error.gap, { cause: "trimmed", after: first!, missed: 5 });
  const gaps: unknown[] = [];
  const onGap = (gap: Gap) => void gaps.push(gap.cause);
  assertEquals(await rest(await broadcast.subscribe(CHANNEL, { ...resume, onGap })), []);
  assertEquals(gaps, ["trimmed"]);
  const several = await broadcast.subscribe([CHANNEL, `${CHANNEL}.b`], { onGap });
  await broadcast.writable(`${CHANNEL}.b`, { end: true }).close();
  await broadcast.writable(CHANNEL, { end: true }).close();
  assertEquals(await rest(several), []);
  const stream = eventStream(await broadcast.subscribe(CHANNEL, resume));
  const text = await new Response(stream).text();
  assertEquals(text.includes("event: gap") && text.endsWith("event: end\ndata: end\n\n"), true);
});

Deno.test("abort() ends nothing", async () => {
  await using broadcast = new Broadcast("memory://");
  const subscription = await broadcast.subscribe(CHANNEL);
  const writer = broadcast.writable(CHANNEL, { end: true }).getWriter();
  await writer.write("a");
  await writer.abort();
  await broadcast.publish(CHANNEL, "b");
  assertEquals((await take(subscription, 2)).map(({ message }) => message), ["a", "b"]);
});

/** The same payload, that claims to be wrapped in another way. */
function withKind(payload: Uint8Array, kind: number): Uint8Array {
  // What compressed() left as it is follows two bytes of its own.
  const changed = payload.slice(payload[1] === 0x3d ? 2 : 0);
  changed[1] = kind;
  return changed;
}

/** All that comes until it is done. */
async function rest(subscription: Subscription<unknown>): Promise<unknown[]> {
  const all: unknown[] = [];
  for await (const { message, gap } of subscription) {
    assertEquals(gap, undefined);
    all.push(message);
  }
  return all;
}
