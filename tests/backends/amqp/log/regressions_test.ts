/** What is removed, wiped or overtaken, and who learns of it. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { open } from "../../../../backends/amqp/log.ts";
import { Address } from "../../../../core/backend/address.ts";
import { ConnectionError, RefusedError } from "../../../../core/backend/errors.ts";
import { Position } from "../../../../core/backend/position.ts";
import { Broadcast, type Gap } from "../../../../mod.ts";
import { numbered } from "../../../conformance/harness.ts";
import { withBroker } from "../../../services/broker.ts";
import { Interceptor } from "./interceptor.ts";
import { Stream, told, until } from "./stream.ts";

function holes(url: string): void {
  const scheme = url.replace(/^amqp/, "amqp-stream");

  Deno.test("amqp-stream: what the server has dropped behind a position is a gap", async () => {
    await using stream = await Stream.open(url);
    await stream.makeSmall();
    await stream.publish("a", "b");
    const [, b] = await stream.newest(2);
    await stream.flood();
    const items = await stream.read(Position.of(b!.place!), 10);
    assertEquals(told(items[0]!), "trimmed");
    assert(items[1]!.place!.at > b!.place!.at + 100);
    assertEquals((await stream.behind(Position.start, 1))[0], "trimmed");
    assertEquals(items.slice(1).map(told), Array(10).fill(" ".repeat(5_000)));
  });

  Deno.test("amqp-stream: the records that the server makes of its own are no gaps", async () => {
    await using stream = await Stream.open(url);
    await stream.make({ "x-stream-max-segment-size-bytes": 20_000 });
    const tail = await stream.backend.tail(stream.name);
    for (let batch = 0; batch < 20; batch++) await stream.publish(" ".repeat(5_000), "small");
    await stream.publish("last");
    const words = await until(tail, "last");
    assertEquals(words.length, 41);
    const newest = await stream.newest(41);
    const offsets = newest.flatMap(({ place }) => place ? [place.at] : []);
    assert(offsets.at(-1)! - offsets[0]! > 42, "the server has made no files");
    assertEquals(newest.map(told), words);
    assertEquals(await stream.behind(Position.start), words);
    await tail.records.cancel();
  });

  Deno.test("amqp-stream: a tail that is outrun says so", async () => {
    await using stream = await Stream.open(url);
    await stream.makeSmall();
    const tail = await stream.backend.tail(stream.name);
    await stream.publish("a");
    assertEquals(await until(tail, "a"), ["a"]);
    const [a] = await stream.newest(1);
    // As many as the server sends ahead are not lost: more than that, and past what it keeps.
    for (let count = 0; count < 8; count++) await stream.flood();
    await stream.publish("last");
    // The server goes on behind what it has dropped, or takes that for the end.
    let words = await until(tail, "last").catch(() => undefined);
    const again = words ? tail : await stream.backend.tail(stream.name, {
      after: Position.of(a!.place!),
    });
    words ??= await until(again, "last");
    assert(words.includes("trimmed") && words.length < 1_600, `${words.length} came`);
    await again.records.cancel();
  });

  Deno.test("amqp-stream: a position ahead of a stream, and one of another stream, are gaps", async () => {
    await using stream = await Stream.open(url);
    await stream.make();
    await stream.publish("a", "b", "c", "d");
    const [a, , , d] = await stream.newest(4);
    assertEquals(await stream.behind(Position.of(d!.place!)), []);
    await stream.remove();
    await stream.make();
    await stream.renew();
    assertEquals(await stream.behind(Position.of(d!.place!)), ["ahead"]);
    await stream.publish("x", "y");
    assertEquals(await stream.behind(Position.of(a!.place!)), ["epoch", "x", "y"]);
    assertEquals(await stream.behind(Position.start), ["x", "y"]);
  });

  Deno.test("amqp-stream: a stream that is deleted is made again, and every reader is told", async () => {
    await using stream = await Stream.open(url);
    await using broadcast = new Broadcast(scheme);
    const subscription = await broadcast.subscribe(stream.name);
    await broadcast.publish(stream.name, "before");
    const iterator = subscription[Symbol.asyncIterator]();
    assertEquals((await iterator.next()).value!.message, "before");
    const told = new Promise<Gap>((resolve) =>
      broadcast.addEventListener("gap", ({ gap }) => resolve(gap))
    );
    const next = iterator.next();
    await stream.remove();
    assert(["ahead", "epoch"].includes((await told).cause));
    await broadcast.publish(stream.name, "after");
    const { message, gap } = (await next).value!;
    assertEquals([message, gap?.cause], ["after", (await told).cause]);
    assertEquals(broadcast.state, "connected");
  });

  Deno.test("amqp-stream: a publisher learns that its stream was deleted", async () => {
    await using stream = await Stream.open(url);
    await using broadcast = new Broadcast(scheme);
    await broadcast.publish(stream.name, "one");
    await stream.remove();
    const error = await assertRejects(() => broadcast.publish(stream.name, "two"));
    assertEquals(
      (error as Error).message,
      `Cannot publish to "${stream.name}": stream "${stream.name}" was deleted, it is made again for the next message`,
    );
    await broadcast.publish(stream.name, "three");
    const events = await broadcast.history(stream.name);
    assertEquals(events.map(({ message }) => message), ["three"]);
  });

  Deno.test("amqp-stream: who looks beyond the end of a stream that was replaced does not wait for ever", async () => {
    await using stream = await Stream.open(url);
    await stream.make();
    await stream.publish(...Array.from({ length: 50 }, (_, number) => `${number}`));
    const all = await stream.newest(50);
    await stream.remove();
    await stream.make();
    // Nothing of ours reads it: the end that is known is that of the stream before.
    const reading = stream.behind(Position.of(all[40]!.place!), 1);
    await assertRejects(() => reading, ConnectionError, "sent nothing");
    assertEquals(await stream.behind(Position.of(all[40]!.place!), 1), ["ahead"]);
  });

  Deno.test("amqp-stream: a tail whose stream is replaced while it opens may be opened again", async () => {
    await using stream = await Stream.open(url);
    await using client = await Interceptor.connect(url);
    const backend = await open(new Address("amqp-stream://"), { client: client.model });
    await backend.connect!();
    await Promise.all(backend.publish(stream.name, ["before"]) as readonly Promise<void>[]);
    client.beforeMessage = async () => {
      client.beforeMessage = undefined;
      await stream.remove();
    };
    await assertRejects(() => backend.tail(stream.name), ConnectionError, "deleted");
    const tail = await backend.tail(stream.name);
    await Promise.all(backend.publish(stream.name, ["after"]) as readonly Promise<void>[]);
    assertEquals(await until(tail, "after"), ["after"]);
    await tail.records.cancel();
    await backend.close();
  });

  Deno.test("amqp-stream: processes that make a stream at a time all publish to it", async () => {
    const streams = await Promise.all(numbered(12).map(() => Stream.open(url)));
    for (let round = 0; round < 4; round++) {
      await using shared = await Stream.open(url);
      const published = streams.flatMap(({ backend }, index) =>
        backend.publish(shared.name, [`${index}`]) as readonly Promise<void>[]
      );
      await Promise.all(published);
      assertEquals((await shared.newest(20)).map(told).sort(), numbered(12, "").sort());
    }
    for (const stream of streams) await stream[Symbol.asyncDispose]();
  });

  Deno.test("amqp-stream: a tail whose stream is replaced by a shorter one while it opens does not wait for ever", async () => {
    await using stream = await Stream.open(url);
    await using client = await Interceptor.connect(url);
    const backend = await open(new Address("amqp-stream://"), { client: client.model });
    await backend.connect!();
    await stream.make();
    await stream.publish(...numbered(50));
    const last = (await backend.read!(stream.name, { limit: 1 })).items.at(-1)!;
    let opened = 0;
    client.beforeChannel = async () => {
      // The first one finds out where it stands.
      if (++opened !== 2) return;
      await stream.remove();
      await stream.make();
    };
    const after = Position.of(last.place!);
    const tail = await backend.tail(stream.name, { after });
    await assertRejects(() => tail.records.getReader().read(), ConnectionError, "sent nothing");
    const again = await backend.tail(stream.name, { after });
    await stream.publish("new");
    assertEquals(await until(again, "new"), ["ahead", "new"]);
    await again.records.cancel();
    await backend.close();
  });

  Deno.test("amqp-stream: a tail to which the server sends nothing of what there is does not wait for ever", async () => {
    await using stream = await Stream.open(url);
    await using client = await Interceptor.connect(url);
    const backend = await open(new Address("amqp-stream://"), { client: client.model });
    await backend.connect!();
    const tail = await backend.tail(stream.name);
    await stream.publish(...numbered(100, ""));
    assertEquals(await until(tail, "99"), numbered(100, ""));
    // So does a reader whose next file was dropped before it was read.
    client.deafen();
    await stream.publish("unheard");
    await assertRejects(() => tail.records.getReader().read(), ConnectionError, "sent nothing");
    const [last] = (await backend.read!(stream.name, { limit: 2 })).items;
    const again = await backend.tail(stream.name, { after: Position.of(last!.place!) });
    assertEquals(await until(again, "unheard"), ["unheard"]);
    await again.records.cancel();
    await backend.close();
  });

  Deno.test("amqp-stream: what waits for a stream that is made again keeps its order", async () => {
    await using stream = await Stream.open(url);
    await using client = await Interceptor.connect(url);
    const backend = await open(new Address("amqp-stream://"), { client: client.model });
    await backend.connect!();
    const publish = (message: string) => Promise.all(backend.publish(stream.name, [message]) as []);
    await publish("before");
    await stream.remove();
    const { promise: held, resolve: release } = Promise.withResolvers<void>();
    let messages = 0;
    client.beforeMessage = () => ++messages === 2 ? held : Promise.resolve();
    const [first, second] = [publish("lost"), publish("lost, too")];
    await assertRejects(() => first, RefusedError, "deleted");
    client.beforeChannel = async () => {
      client.beforeChannel = () => Promise.resolve();
      await second.catch(() => {});
      // Somebody who made it now would be done meanwhile.
      for (let times = 0; times < 50; times++) await (await stream.client.createChannel()).close();
    };
    const one = publish("one");
    release();
    await assertRejects(() => second, RefusedError, "deleted");
    await Promise.all([one, publish("two")]);
    assertEquals((await stream.newest(2)).map(told), ["one", "two"]);
    await backend.close();
  });
}

withBroker("amqp", holes);
