/** The facts that a read of a stream tells if the record to resume after does not come back. */

import { assert, assertEquals } from "@std/assert";
import { gapOf } from "../../../../core/backend/continuity.ts";
import type { BackendRecord, Item, LogBreak } from "../../../../core/backend/contract.ts";
import { type Place, Position } from "../../../../core/backend/position.ts";
import { withBroker } from "../../../services/broker.ts";
import { next, Stream, told, wordsOf } from "./stream.ts";

function breaks(url: string): void {
  Deno.test("amqp-stream: a position whose record came back is no break", async () => {
    await using stream = await Stream.open(url);
    await stream.make();
    await stream.publish("a", "b");
    const [a, b] = placesOf(await stream.newest(2));
    assertEquals(await stream.read(Position.of(b!)), []);
    assertEquals((await stream.read(Position.of(a!))).map(({ kind }) => kind), ["record"]);
  });

  Deno.test("amqp-stream: a position after the end of the stream is told the head", async () => {
    await using stream = await Stream.open(url);
    await stream.make();
    await stream.publish("a", "b", "c", "d");
    const [, , , d] = placesOf(await stream.newest(4));
    await stream.remove();
    await stream.make();
    await stream.renew();
    const items = await stream.read(Position.of(d!));
    const [found, head] = items as [LogBreak, Item];
    assertEquals([found.replaced, found.recreated, found.removed], [
      undefined,
      undefined,
      "unknown",
    ]);
    assert(found.head!.at < d!.at);
    // No record follows: a reader goes on at the head, and finds no other break.
    assertEquals([head.kind, items.length], ["skip", 2]);
    assertEquals(await stream.read(Position.of(...placesOf([head]))), []);
    await stream.publish("e");
    assertEquals(await stream.after(Position.of(...placesOf([head]))), ["e"]);
  });

  Deno.test("amqp-stream: another record at the position has replaced it", async () => {
    await using stream = await Stream.open(url);
    await stream.make();
    await stream.publish("a", "b");
    const [a] = placesOf(await stream.newest(2));
    await stream.remove();
    await stream.make();
    await stream.publish("x", "y");
    await stream.renew();
    const position = Position.of(a!);
    const [found, ...records] = await stream.read(position) as [LogBreak, ...Item[]];
    assertEquals([found.replaced, found.removed, wordsOf(records)], [true, "unknown", ["x", "y"]]);
    assert(found.head!.at > 1);
    const tail = await stream.backend.tail(stream.name, { after: position });
    assertEquals((await next(tail))[0], { ...found, head: undefined });
    await tail.records.cancel();
  });

  Deno.test("amqp-stream: a position that is missing between two records was replaced", async () => {
    await using stream = await Stream.open(url);
    await stream.make({ "x-stream-max-segment-size-bytes": 20_000 });
    for (let batch = 0; batch < 20; batch++) await stream.publish(" ".repeat(5_000), "small");
    const places = placesOf(await stream.newest(40));
    const index = places.findIndex(({ at }, index) => at !== places[0]!.at + index);
    assert(index > 0, "the server has created no files");
    // The server itself used this offset.
    const missing = { ...places[index]!, at: places[index]!.at - 1 };
    const [found, first] = await stream.read(Position.of(missing)) as [LogBreak, Item];
    assertEquals([found.replaced, gapOf(found, missing)?.cause], [true, "reset"]);
    assertEquals(placesOf([first]), [places[0]!]);
  });

  Deno.test("amqp-stream: removed records are told, and left open if only that of the position is missing", async () => {
    await using stream = await Stream.open(url);
    await stream.makeSmall();
    const tail = await stream.backend.tail(stream.name);
    await stream.publish("a");
    const places: Place[] = [];
    const receive = async () => void places.push(...placesOf(await next(tail)));
    while (places.length === 0) await receive();
    const [a] = places;
    await stream.flood();
    while (places.length < 201) await receive();
    await tail.records.cancel();
    const [found, first] = await stream.read(Position.of(a!), 1) as [LogBreak, Item];
    assertEquals(found, { kind: "break", removed: "some", head: undefined });
    const [oldest] = placesOf([first]);
    assert(oldest!.at > a!.at + 2);
    const before = places.findLast(({ at }) => at < oldest!.at)!;
    const [other, again] = await stream.read(Position.of(before), 1) as [LogBreak, Item];
    // Its own record is gone, so nothing shows that it is the same stream.
    assertEquals(other, { kind: "break", removed: "unknown", head: undefined });
    assertEquals([gapOf(other, before)?.cause, placesOf([again])], ["trimmed", [oldest]]);
    // Read up to its end, the stream has a head.
    const [last] = await stream.read(Position.of(a!), 1_000) as [LogBreak];
    assert(last.head!.at > places.at(-1)!.at);
    assertEquals(told(last, Position.of(a!)), "trimmed");
  });

  Deno.test("amqp-stream: records that were removed before the first read are told", async () => {
    await using stream = await Stream.open(url);
    await stream.makeSmall();
    await stream.flood();
    const [found, record] = await stream.read(Position.start, 1) as [LogBreak, Item];
    assertEquals([found.kind, found.removed, record.kind], ["break", "some", "record"]);
  });
}

/** The places of records and of marks. */
function placesOf(items: readonly Item[]): Place[] {
  return items.flatMap((item) => (item as BackendRecord).place ?? []);
}

withBroker("amqp", breaks);
