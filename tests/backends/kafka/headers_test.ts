/** Headers of records, ours and those of others. */

import { Buffer } from "node:buffer";
import { assert, assertEquals } from "@std/assert";
import { headersFrom, lengthOf } from "../../../backends/kafka/headers.ts";
import { KafkaBackend } from "../../../backends/kafka/log.ts";
import { TopicTail } from "../../../backends/kafka/log/tail.ts";
import { Address } from "../../../core/backend/address.ts";
import { Position } from "../../../core/backend/position.ts";
import { Broadcast } from "../../../mod.ts";
import { messages, numbered, take, uniqueChannel } from "../../conformance/harness.ts";
import { withBroker } from "../../services/broker.ts";
import { registrar } from "./outsider.ts";

/** As many as a message may have, in bytes. */
const MOST = 8 * 1024 - 32;

/** Cases on headers. */
function headers(url: string, name: string): void {
  const test = registrar(url, name);

  test("other programs read headers as bytes, and their own arrive", async (outsider) => {
    const channel = await outsider.topic();
    await using broadcast = new Broadcast(url);
    const subscriptions = [
      await broadcast.subscribe(channel),
      await broadcast.subscribe({ pattern: `${channel}*` }),
    ];
    const some = Object.fromEntries([
      ...[["trace", "é 🎉"], ["empty", ""], ["constructor", "c"], ["__proto__", "p"]],
    ]);
    await broadcast.publish(channel, "ours", { headers: some });
    await broadcast.publish(channel, "bare");
    const theirs = Object.fromEntries<Buffer | string | string[]>([
      ["text", " spaces and a \uFEFF"],
      ["bytes", Buffer.from("é")],
      ["broken", Buffer.of(0xff)],
      ["again", ["one", "two"]],
      ["broadcaster-other", "ours"],
      ["toString", "t"],
      ["__proto__", ["one", "two"]],
    ]);
    await outsider.publish(channel, [{ value: "theirs", headers: theirs }]);
    const arrive = Object.fromEntries([
      ...[["text", " spaces and a \uFEFF"], ["bytes", "é"], ["again", "two"], ["toString", "t"]],
      ["__proto__", "two"],
    ]);
    const expected = [some, undefined, arrive].map(entries);
    for (const subscription of subscriptions) {
      const events = await take(subscription, 3);
      assertEquals(events.map(({ headers }) => entries(headers)), expected);
    }
    const past = await broadcast.history(channel);
    assertEquals(past.map(({ headers }) => entries(headers)), expected);
    const later = await broadcast.history(channel, { after: past[0]!.id });
    assertEquals(later.map(({ headers }) => entries(headers)), expected.slice(1));
    const [ours, bare] = await outsider.records(channel, 2);
    // The value of a name that objects inherit comes after the inherited one.
    const told = Object.entries(ours!.headers!).map(([name, value]) => [
      name,
      String(Array.isArray(value) ? value.at(-1) : value),
    ]);
    assertEquals(told.sort(), entries(some));
    assertEquals(bare!.headers, {});
  });

  test("headers count towards what goes together, which stays whole", async (outsider) => {
    const channel = await outsider.topic();
    await using broadcast = new Broadcast(url);
    const some = { h: "x".repeat(MOST - 1) };
    await Promise.all(
      numbered(300).map((message) => broadcast.publish(channel, message, { headers: some })),
    );
    const records = await outsider.records(channel, 300);
    assertEquals(records.map(({ value }) => String(value)), numbered(300));
    // A batch that the broker refuses is sent again, one by one.
    const batches = new Set(records.map(({ batchContext }) => batchContext.firstOffset));
    assertEquals(batches.size, 3);
  });

  test("headers over the limit of the topic are refused, and take no other along", async (outsider) => {
    const channel = await outsider.topic(1, { "max.message.bytes": "10000" });
    await using broadcast = new Broadcast(url);
    const subscription = await broadcast.subscribe(channel);
    const publish = (length: number) =>
      broadcast.publish(channel, "x".repeat(length), { headers: { h: "x".repeat(MOST - 1) } });
    const outcomes = await Promise.allSettled([publish(1_000), publish(2_000), publish(1_001)]);
    assertEquals(
      outcomes.map((outcome) => outcome.status === "rejected" ? String(outcome.reason) : "ok"),
      [
        "ok",
        `RangeError: Cannot publish to "${channel}" on kafka: the payload and its headers exceed max.message.bytes of the topic`,
        "ok",
      ],
    );
    const received = await messages(subscription, 2) as string[];
    assertEquals(received.map(({ length }) => length), [1_000, 1_001]);
  });
}

/** Cases without a broker. */
function headersApart(): void {
  Deno.test("kafka: headers that exceed the largest request are refused at the call", () => {
    const backend = new KafkaBackend(new Address("kafka://localhost"));
    const payload = new Uint8Array(100 * 1024 * 1024 - 1024 - 20);
    backend.check(uniqueChannel(), payload, { headers: { name: "12345678" } });
    try {
      backend.check("chatroom", payload, { headers: { name: "123456789" } });
      assert(false);
    } catch (error) {
      assertEquals(
        String(error),
        'RangeError: Cannot publish to "chatroom" on kafka: the payload and its headers exceed 100 MiB',
      );
    }
  });

  Deno.test("kafka: a header without a value is left out, whatever it had before", () => {
    const record = { offset: "0", value: Buffer.from("abc") };
    const one = Buffer.from("one");
    assertEquals(headersFrom({ ...record, headers: { a: null, b: [one, null] } }), undefined);
    assertEquals(headersFrom({ ...record, headers: { a: null, b: [null, one] } }), { b: "one" });
    assertEquals(headersFrom(record), undefined);
    assertEquals(lengthOf({ ...record, headers: { ab: [one, null], c: one } }), 14);
  });

  Deno.test("kafka: a tail that is full of headers takes no more", async () => {
    const tail = new TopicTail({
      ...{ target: "chatroom", position: Position.start },
      ...{ wake: () => {}, cancel: () => {} },
    });
    const share = tail.add("chatroom");
    let count = 0;
    for (; tail.isHungry; count++) {
      const place = { shard: 0, at: count, sub: 0, fingerprint: "" };
      tail.push(share, [{
        kind: "record",
        payload: "",
        place,
        headers: { h: "x".repeat(MOST - 1) },
      }]);
    }
    assert(count < 520, `${count} are waiting`);
    await tail.cancel();
  });
}

function entries(headers: Readonly<Record<string, string>> | undefined): string[][] | undefined {
  return headers && Object.entries(headers).sort();
}

for (const line of ["kafka", "kafka4"]) withBroker(line, (url) => headers(url, line));
headersApart();
