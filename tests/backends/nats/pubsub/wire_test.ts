/** The wire format as other programs see it, and losses that servers cause. */

import { connect, headers } from "@nats-io/transport-node";
import { assertEquals, assertRejects } from "@std/assert";
import { channelOf, subjectOf, subjectsOf } from "../../../../backends/nats/subject.ts";
import { Pattern } from "../../../../core/backend/pattern.ts";
import { Broadcast, type Gap } from "../../../../mod.ts";
import { messages, numbered, take, uniqueChannel } from "../../../conformance/harness.ts";
import { withBroker } from "../../../services/broker.ts";
import { start } from "../../../services/nats.ts";
import { Proxy } from "../../../services/proxy.ts";

function wire(url: string): void {
  Deno.test("nats: a channel is the subject of its name, with what is reserved encoded", () => {
    const subjects = {
      "chat.room-1": "chat.room-1",
      "chat/Größe_🎉": "chat/Größe_🎉",
      "a..b c": "a.%.b%20c",
      "": "%",
      ".": "%.%",
      "%": "%25",
      "*.>": "%2A.%3E",
      "a\0\t\x7f\u2028": "a%00%09%7F%E2%80%A8",
      "$SYS.a$": "%24SYS.a$",
      "_INBOX.a": "%5FINBOX.a",
      "_INBOXES": "_INBOXES",
    };
    for (const [channel, subject] of Object.entries(subjects)) {
      assertEquals(subjectOf(channel), subject);
      assertEquals(channelOf(subject), channel);
    }
    for (const foreign of ["$JS.API.INFO", "_INBOX.x", "a%2", "a%61", "%2a", "a..b", "%ff"]) {
      assertEquals(channelOf(foreign), undefined);
    }
  });

  Deno.test("nats: a pattern asks for no more than it must", () => {
    const subjects = {
      "room.a": "room.a",
      "room.*": "room.>",
      "room.a*": "room.>",
      "a.b.*.c": "a.b.>",
      "a b.*": "a%20b.>",
      ".*": "%.>",
      "room*": ">",
    };
    for (const [pattern, subject] of Object.entries(subjects)) {
      assertEquals(subjectsOf(new Pattern(pattern)), subject);
    }
  });

  Deno.test("nats: headers are the message's, but for ours and the server's", async () => {
    const client = await connect({ servers: url });
    const channel = uniqueChannel();
    const heard = Promise.withResolvers<[string, string | undefined][]>();
    client.subscribe(channel, {
      callback: (_, { headers }) =>
        heard.resolve([...headers!].map(([name, values]) => [name, values.at(-1)])),
    });
    await using broadcast = new Broadcast(url);
    const subscription = await broadcast.subscribe(channel);
    await broadcast.publish(channel, "ours", { headers: { trace: "é", b: "" } });
    assertEquals((await heard.promise).slice(1), [["trace", "é"], ["b", ""]]);
    const theirs = headers();
    theirs.append("a", "1");
    theirs.append("a", "2");
    theirs.append("Nats-Expected-Stream", "none");
    theirs.append("Broadcaster-Other", "x");
    client.publish(channel, "theirs", { headers: theirs });
    const events = await take(subscription, 2);
    assertEquals(events.map(({ headers }) => headers), [{ trace: "é", b: "" }, { a: "2" }]);
    const refused = () => broadcast.publish(channel, "m", { headers: { "Nats-TTL": "1s" } });
    assertEquals(
      (await assertRejects(refused, TypeError)).message,
      `Cannot publish to "${channel}" on nats: header "Nats-TTL" is reserved`,
    );
    await client.close();
  });

  Deno.test("nats: other programs publish and hear the payload alone", async () => {
    const client = await connect({ servers: url });
    const channel = `${uniqueChannel()}.room-1`;
    const heard = Promise.withResolvers<string>();
    client.subscribe(channel, { callback: (_, message) => heard.resolve(message.string()) });
    await using broadcast = new Broadcast(url);
    const subscription = await broadcast.subscribe(channel);
    await broadcast.publish(channel, "hello");
    assertEquals(await heard.promise, "hello");
    client.publish(channel, "from elsewhere");
    assertEquals(await messages(subscription, 2), ["hello", "from elsewhere"]);
    await client.close();
  });

  Deno.test("nats: what is missing in a publisher's count is a gap, with the count", async () => {
    const client = await connect({ servers: url });
    const channel = uniqueChannel();
    await using broadcast = new Broadcast(url);
    const subscriptions = [
      await broadcast.subscribe(channel),
      await broadcast.subscribe({ pattern: `${channel}*` }),
    ];
    for (const count of [7, 8, 12, 13]) {
      const counted = headers();
      counted.set("broadcaster-sequence", `abcdefghijkl:${count}`);
      client.publish(channel, `${count}`, { headers: counted });
    }
    for (const subscription of subscriptions) {
      const events = await take(subscription, 4);
      const gaps = events.map(({ gap }) => gap && [gap.cause, gap.missed]);
      assertEquals(gaps, [undefined, undefined, ["unknown", 3], undefined]);
    }
    await client.close();
  });

  Deno.test("nats: a subscriber that the server finds too slow has a gap", async () => {
    await using server = await start({ config: 'write_deadline: "200ms"\nmax_pending: 8000000' });
    await using proxy = await Proxy.start(server.port);
    await using slow = new Broadcast(proxy.url(server.url));
    await using publisher = new Broadcast(server.url);
    const channel = uniqueChannel();
    const gap = Promise.withResolvers<Gap>();
    const subscription = await slow.subscribe(channel, { onGap: gap.resolve });
    await publisher.publish(channel, "before");
    assertEquals(await messages(subscription, 1), ["before"]);
    const next = take(subscription, 1);
    proxy.stall();
    const large = "x".repeat(100_000);
    for (const _ of numbered(300)) await publisher.publish(channel, large);
    proxy.cut();
    proxy.resume();
    assertEquals((await gap.promise).cause, "disconnect");
    await publisher.publish(channel, "after");
    const [event] = await next;
    assertEquals([event!.message, event!.gap?.cause], ["after", "disconnect"]);
  });
}

withBroker("nats", wire);
