/** Requests that a server never answers, on a connection that lives. */

import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { deadline } from "@std/async";
import { Broadcast, ConnectionError } from "../../mod.ts";
import { messages, uniqueChannel } from "../conformance/harness.ts";
import { withBroker } from "../services/broker.ts";
import { Proxy } from "../services/proxy.ts";

/** The class and the method of AMQP requests. */
const QUEUE_DECLARE = [0, 50, 0, 10];
const CHANNEL_OPEN = [0, 20, 0, 10];
/** The bytes of an AMQP frame beside its payload: the type, the channel, the size and the end. */
const FRAMING = 8;
/** The first byte of the MQTT request SUBSCRIBE. */
const SUBSCRIBE = 0x82;

withBroker("amqp", (url) => {
  for (const scheme of ["amqp", "amqp-stream"]) {
    Deno.test(`${scheme}: connect() has its limit where the login is answered, and the first channel is not`, async () => {
      await using proxy = await Proxy.start(Number(new URL(url).port));
      proxy.rewriteRequests = (chunk) =>
        framesOf(chunk).some((frame) => is(frame, CHANNEL_OPEN)) ? new Uint8Array() : chunk;
      await using broadcast = new Broadcast(proxy.url(url).replace(/^\w+/, scheme));
      const connecting = deadline(broadcast.connect(), 20_000);
      await assertRejects(() => connecting, ConnectionError, "opened no channel within 10 s");
    });

    test(scheme, url, (chunk) => framesOf(chunk).find((frame) => is(frame, QUEUE_DECLARE)));
  }
});

withBroker(
  "mqtt",
  (url) => test("mqtt", url, (chunk) => chunk[0] === SUBSCRIBE ? chunk : undefined),
);

/**
 * @param scheme The scheme of the URL.
 * @param url Of the broker.
 * @param find Finds the request that is lost in what a client sends, which is whole requests while it
 * sends little.
 */
function test(
  scheme: string,
  url: string,
  find: (chunk: Uint8Array) => Uint8Array | undefined,
): void {
  Deno.test(`${scheme}: a request that is never answered, on a connection that lives, is asked again on another one`, async () => {
    await using proxy = await Proxy.start(Number(new URL(url).port));
    await using broadcast = new Broadcast(proxy.url(url).replace(/^\w+/, scheme));
    const errors: unknown[] = [];
    broadcast.addEventListener("statechange", ({ state, error }) => {
      if (state === "reconnecting") errors.push((error as Error).cause);
    });
    const channel = uniqueChannel();
    await using subscription = await broadcast.subscribe(channel);
    await broadcast.publish(channel, "before");
    assertEquals(await messages(subscription, 1), ["before"]);
    let lost: Uint8Array | undefined;
    proxy.rewriteRequests = (chunk) => {
      if (lost) return chunk;
      lost = find(chunk);
      if (!lost) return chunk;
      const start = lost.byteOffset - chunk.byteOffset;
      return Buffer.concat([chunk.subarray(0, start), chunk.subarray(start + lost.length)]);
    };
    const back = Promise.withResolvers<void>();
    // Without a log, a gap says that the channel is open again. A log loses nothing.
    const hasLog = scheme.endsWith("-stream");
    if (!hasLog) broadcast.addEventListener("gap", () => back.resolve());
    broadcast.addEventListener("statechange", ({ state }) => {
      if (hasLog && state === "connected" && errors.length === 2) back.resolve();
    });
    proxy.cut();
    await back.promise;
    await broadcast.publish(channel, "after");
    assertEquals(await messages(subscription, 1), ["after"]);
    assertEquals(errors.length, 2);
    assertStringIncludes(`${errors[1]}`, "not answered a request for 30 s");
  });
}

/** The frames of AMQP. */
function framesOf(chunk: Uint8Array): Uint8Array[] {
  const frames: Uint8Array[] = [];
  for (let start = 0; start < chunk.length;) {
    // The greeting of the protocol is no frame.
    const size = chunk[start] === 0x41
      ? chunk.length
      : new DataView(chunk.buffer, chunk.byteOffset + start).getUint32(3) + FRAMING;
    frames.push(chunk.subarray(start, start + size));
    start += size;
  }
  return frames;
}

function is(frame: Uint8Array, method: readonly number[]): boolean {
  return frame[0] === 1 && method.every((byte, index) => frame[7 + index] === byte);
}
