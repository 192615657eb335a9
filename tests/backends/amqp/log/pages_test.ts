/** Which events a page has, whatever its reader knows of the stream. */

import { assert, assertEquals } from "@std/assert";
import type { Backend, BackendRecord, Item } from "../../../../core/backend/contract.ts";
import { Position } from "../../../../core/backend/position.ts";
import { numbered } from "../../../conformance/harness.ts";
import { withBroker } from "../../../services/broker.ts";
import { Interceptor } from "./interceptor.ts";
import { borrowing, Stream, told, wordsOf as words } from "./stream.ts";

function pages(url: string): void {
  Deno.test("amqp-stream: a page ends before an event that its reader has not heard of", async () => {
    await using stream = await Stream.open(url);
    await stream.make();
    await stream.publish(...numbered(10, ""));
    const { backend: behind } = stream;
    assertEquals(words(await stream.newest(1)), ["9"]);
    await stream.publish(...numbered(100, "").slice(10));
    await using other = await Stream.open(url);
    const all = await page(other.backend, stream.name, { limit: 100 });
    const at = (word: string) => positionOf(all, word);
    const before = at("50");
    assertEquals(words(await page(behind, stream.name, { before, limit: 2 })), ["48", "49"]);
    await stream.renew();
    assertEquals(words(await stream.newest(1)), ["99"]);
    await stream.publish(...numbered(200, "").slice(100));
    const later = await page(other.backend, stream.name, { after: at("98"), limit: 100 });
    const end = positionOf(later, "102");
    const between = { after: at("98"), before: end, limit: 100 };
    assertEquals(words(await page(stream.backend, stream.name, between)), ["99", "100", "101"]);
  });

  Deno.test("amqp-stream: the newest events are read without all that came since somebody last looked", async () => {
    await using stream = await Stream.open(url);
    await using client = await Interceptor.connect(url);
    const backend = await borrowing(client.model);
    await stream.make();
    await stream.publish(...numbered(10, ""));
    assertEquals(words(await page(backend, stream.name, { limit: 1 })), ["9"]);
    await stream.publish(...numbered(20_000, ""));
    let heard = 0;
    client.onDelivery = () => void heard++;
    assertEquals(words(await page(backend, stream.name, { limit: 2 })), ["19998", "19999"]);
    assert(heard < 5_000, `${heard} were read`);
    await backend.close();
  });
}

async function page(
  backend: Backend,
  queue: string,
  options: Parameters<NonNullable<Backend["read"]>>[1],
): Promise<readonly Item[]> {
  return (await backend.read!(queue, options)).items;
}

/** The position of a message. */
function positionOf(items: readonly Item[], message: string): Position {
  const found = items.find((item) => told(item) === message) as BackendRecord;
  return Position.of(found.place!);
}

withBroker("amqp", pages);
