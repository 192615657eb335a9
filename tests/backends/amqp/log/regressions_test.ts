/** Streams that are trimmed, deleted or overtaken, and the gaps that their readers get. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import type { BackendRecord, Item } from "../../../../core/backend/contract.ts";
import { ConnectionError, TemporaryError } from "../../../../core/backend/errors.ts";
import { Position } from "../../../../core/backend/position.ts";
import { Broadcast, type Gap } from "../../../../mod.ts";
import { numbered } from "../../../conformance/harness.ts";
import { withBroker } from "../../../services/broker.ts";
import { Interceptor } from "./interceptor.ts";
import { borrowing, next, publish, Stream, told, until, wordsOf } from "./stream.ts";

function holes(url: string): void {
  const scheme = url.replace(/^amqp/, "amqp-stream");

  Deno.test("amqp-stream: what the server has dropped behind a position is a gap", async () => {
    await using stream = await Stream.open(url);
    await stream.makeSmall();
    await stream.publish("a", "b");
    const [, b] = await stream.newest(2);
    await stream.flood();
    const items = await stream.read(after(b), 10);
    assertEquals(items[0], { kind: "break", removed: "some", head: undefined });
    assertEquals(told(items[0]!, after(b)), "trimmed");
    assert(atOf(items[1]) > atOf(b) + 100);
    assertEquals((await stream.after(Position.start, 1))[0], "trimmed");
    assertEquals(wordsOf(items.slice(1)), Array(10).fill(" ".repeat(5_000)));
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
    const offsets = newest.map((item) => atOf(item));
    assert(offsets.at(-1)! - offsets[0]! > 42, "the server has made no files");
    assertEquals(wordsOf(newest), words);
    assertEquals(await stream.after(Position.start), words);
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
    const again = words ? tail : await stream.backend.tail(stream.name, { after: after(a) });
    words ??= await until(again, "last");
    assert(words.includes("trimmed") && words.length < 1_600, `${words.length} came`);
    await again.records.cancel();
  });

  Deno.test("amqp-stream: a position ahead of a stream, and one of another stream, are gaps", async () => {
    await using stream = await Stream.open(url);
    await stream.make();
    await stream.publish("a", "b", "c", "d");
    const [a, , , d] = await stream.newest(4);
    assertEquals(await stream.after(after(d)), []);
    await stream.remove();
    await stream.make();
    await stream.renew();
    assertEquals(await stream.after(after(d)), ["rollback"]);
    await stream.publish("x", "y");
    assertEquals(await stream.after(after(a)), ["reset", "x", "y"]);
    assertEquals(await stream.after(Position.start), ["x", "y"]);
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
    assert(["rollback", "reset"].includes((await told).cause));
    await broadcast.publish(stream.name, "after");
    const { message, gap } = (await next).value!;
    assertEquals([message, gap?.cause], ["after", (await told).cause]);
    assertEquals(broadcast.state, "connected");
  });

  Deno.test("amqp-stream: a stream that was deleted is created again for the next message", async () => {
    await using stream = await Stream.open(url);
    await using broadcast = new Broadcast(scheme);
    await broadcast.publish(stream.name, "one");
    await stream.remove();
    await Promise.all(["two", "three"].map((word) => broadcast.publish(stream.name, word)));
    const events = await broadcast.history(stream.name);
    assertEquals(events.map(({ message }) => message), ["two", "three"]);
  });

  Deno.test("amqp-stream: who looks beyond the end of a stream that was replaced does not wait for ever", async () => {
    await using stream = await Stream.open(url);
    await stream.make();
    await stream.publish(...Array.from({ length: 50 }, (_, number) => `${number}`));
    const all = await stream.newest(50);
    await stream.remove();
    await stream.make();
    // Nothing of ours reads it: the end that is known is that of the stream before.
    const reading = stream.after(after(all[40]), 1);
    await assertRejects(() => reading, ConnectionError, "did not send the records");
    assertEquals(await stream.after(after(all[40]), 1), ["rollback"]);
  });

  Deno.test("amqp-stream: a tail whose stream is replaced while it opens may be opened again", async () => {
    await using stream = await Stream.open(url);
    await using client = await Interceptor.connect(url);
    const backend = await borrowing(client.model);
    await publish(backend, stream.name, "before");
    client.beforeMessage = async () => {
      client.beforeMessage = undefined;
      await stream.remove();
    };
    await assertRejects(() => backend.tail(stream.name), TemporaryError, "deleted");
    const tail = await backend.tail(stream.name);
    await publish(backend, stream.name, "after");
    assertEquals(await until(tail, "after"), ["after"]);
    await tail.records.cancel();
    await backend.close();
  });

  Deno.test("amqp-stream: processes that make a stream at a time all publish to it", async () => {
    const streams = await Promise.all(numbered(12).map(() => Stream.open(url)));
    for (let round = 0; round < 4; round++) {
      await using shared = await Stream.open(url);
      await Promise.all(
        streams.map(({ backend }, index) => publish(backend, shared.name, `${index}`)),
      );
      assertEquals(wordsOf(await shared.newest(20)).sort(), numbered(12, "").sort());
    }
    for (const stream of streams) await stream[Symbol.asyncDispose]();
  });

  Deno.test("amqp-stream: a tail whose stream is replaced by a shorter one while it opens does not wait for ever", async () => {
    await using stream = await Stream.open(url);
    await using client = await Interceptor.connect(url);
    const backend = await borrowing(client.model);
    await stream.make();
    await stream.publish(...numbered(50));
    const last = (await backend.read!(stream.name, { limit: 1 })).items.at(-1);
    let opened = 0;
    client.beforeChannel = async () => {
      // The first one finds out where it stands.
      if (++opened !== 2) return;
      await stream.remove();
      await stream.make();
    };
    const position = after(last);
    const tail = await backend.tail(stream.name, { after: position });
    await assertRejects(() => next(tail), ConnectionError, "did not send the records");
    const again = await backend.tail(stream.name, { after: position });
    await stream.publish("new");
    assertEquals(await until(again, "new"), ["rollback", "new"]);
    await again.records.cancel();
    await backend.close();
  });

  Deno.test("amqp-stream: a tail to which the server sends nothing of what there is does not wait for ever", async () => {
    await using stream = await Stream.open(url);
    await using client = await Interceptor.connect(url);
    const backend = await borrowing(client.model);
    const tail = await backend.tail(stream.name);
    await stream.publish(...numbered(100, ""));
    assertEquals(await until(tail, "99"), numbered(100, ""));
    // So does a reader whose next file was dropped before it was read.
    client.deafen();
    await stream.publish("unheard");
    await assertRejects(() => next(tail), ConnectionError, "did not send the records");
    const [last] = (await backend.read!(stream.name, { limit: 2 })).items;
    const again = await backend.tail(stream.name, { after: after(last) });
    assertEquals(await until(again, "unheard"), ["unheard"]);
    await again.records.cancel();
    await backend.close();
  });

  Deno.test("amqp-stream: what waits for a stream that is made again keeps its order", async () => {
    await using stream = await Stream.open(url);
    await using client = await Interceptor.connect(url);
    const backend = await borrowing(client.model);
    const send = (message: string) => publish(backend, stream.name, message);
    await send("before");
    await stream.remove();
    const { promise: held, resolve: release } = Promise.withResolvers<void>();
    let messages = 0;
    client.beforeMessage = () => ++messages === 2 ? held : Promise.resolve();
    const [first, second] = [send("lost"), send("lost, too")];
    await assertRejects(() => first, TemporaryError, "deleted");
    client.beforeChannel = async () => {
      client.beforeChannel = () => Promise.resolve();
      await second.catch(() => {});
      // Somebody who made it now would be done meanwhile.
      for (let times = 0; times < 50; times++) await (await stream.client.createChannel()).close();
    };
    const one = send("one");
    release();
    await assertRejects(() => second, TemporaryError, "deleted");
    await Promise.all([one, send("two")]);
    assertEquals(wordsOf(await stream.newest(2)), ["one", "two"]);
    await backend.close();
  });
}

/** The position of a record. */
function after(item: Item | undefined): Position {
  return Position.of((item as BackendRecord).place!);
}

/** The offset of a record. */
function atOf(item: Item | undefined): number {
  return (item as BackendRecord).place!.at;
}

withBroker("amqp", holes);
