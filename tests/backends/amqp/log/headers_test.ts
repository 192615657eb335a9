/** Headers as other programs have them in a stream. */

import { Buffer } from "node:buffer";
import { assertEquals } from "@std/assert";
import type { ConsumeMessage } from "amqplib";
import { storedOf } from "../../../../backends/amqp/log/record.ts";
import { Broadcast } from "../../../../mod.ts";
import { take } from "../../../conformance/harness.ts";
import { withBroker } from "../../../services/broker.ts";
import { FREE, refusesReserved, STRANGE } from "../header_cases.ts";
import { Stream } from "./stream.ts";

/** Cases on headers. */
function headers(url: string): void {
  const scheme = url.replace(/^amqp/, "amqp-stream");

  Deno.test("amqp-stream: other programs read headers as texts beside ours, and their own arrive", async () => {
    await using stream = await Stream.open(url);
    await using broadcast = new Broadcast(scheme);
    const subscription = await broadcast.subscribe(stream.name);
    const some = { trace: "é 🎉", "x-request-id": "", long: "é".repeat(2_000) };
    await broadcast.publish(stream.name, "ours", { headers: some });
    // The server fails at the first decimal that it is to store in a stream.
    const { decimal: _, ...given } = STRANGE.given;
    stream.lane.sendToQueue(stream.name, Buffer.from("theirs"), { headers: given });
    await stream.lane.waitForConfirms();
    const expected = [some, STRANGE.arrives];
    const events = await take(subscription, 2);
    assertEquals(events.map(({ headers }) => headers), expected);
    const past = await broadcast.history(stream.name);
    assertEquals(past.map(({ headers }) => headers), expected);
    const [{ properties }] = await stream.heard(1) as [ConsumeMessage];
    const { trace, "x-request-id": id, long, ...rest } = properties.headers!;
    assertEquals({ trace, "x-request-id": id, long: String(long) }, some);
    assertEquals(
      Object.keys(rest).sort(),
      ["broadcaster-sequence", "timestamp_in_ms", "x-stream-offset"],
    );
  });

  Deno.test("amqp-stream: headers that RabbitMQ goes by are refused, and no others", async () => {
    await using stream = await Stream.open(url);
    await using broadcast = new Broadcast(scheme);
    await refusesReserved(broadcast, stream.name, "amqp-stream");
    await broadcast.publish(stream.name, "m", { headers: FREE });
    assertEquals((await broadcast.history(stream.name))[0]!.headers, FREE);
  });

  Deno.test("amqp-stream: headers do not change what a message is recognized by", () => {
    const own = { "x-stream-offset": 5, "timestamp_in_ms": 1 };
    for (const sequence of [{}, { "broadcaster-sequence": "abcdefghijkl:9" }]) {
      const [bare, full] = [{}, { trace: "t" }].map((some) =>
        storedOf({
          content: Buffer.from("m"),
          properties: { headers: { ...some, ...own, ...sequence } },
        } as unknown as ConsumeMessage)
      );
      assertEquals<unknown>(full, { ...bare!, headers: { trace: "t" } });
      assertEquals(bare!.place.at, 5);
    }
  });

  Deno.test("amqp-stream: a subscription that resumes after an event with headers misses nothing", async () => {
    await using stream = await Stream.open(url);
    await using broadcast = new Broadcast(scheme);
    for (const number of ["1", "2", "3"]) {
      await broadcast.publish(stream.name, number, { headers: { number } });
    }
    const [first] = await broadcast.history(stream.name);
    await using other = new Broadcast(scheme);
    const subscription = await other.subscribe(stream.name, { after: first!.id });
    const events = await take(subscription, 2);
    assertEquals(events.map(({ headers, gap }) => [headers, gap]), [
      [{ number: "2" }, undefined],
      [{ number: "3" }, undefined],
    ]);
  });
}

withBroker("amqp", headers);
