/** `broadcaster pub`: messages of arguments and of standard input. */

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { Broadcast } from "../../mod.ts";
import { uniqueChannel } from "../conformance/harness.ts";
import { withBroker } from "../services/broker.ts";
import { withScheme } from "./brokers.ts";
import { broadcaster, Running } from "./command.ts";

withBroker("redis", (found) => {
  const url = withScheme(found, "redis-stream");

  async function past(channel: string) {
    await using broadcast = new Broadcast(url);
    return await broadcast.history(channel);
  }

  async function messages(channel: string): Promise<string[]> {
    return (await past(channel)).map(({ message }) => message);
  }

  Deno.test("pub publishes its argument, and says nothing", async () => {
    const channel = uniqueChannel();
    const outcome = await broadcaster(["pub", url, channel, "hello, everybody"]);
    assertEquals(outcome, { code: 0, stdout: "", stderr: "" });
    assertEquals(await messages(channel), ["hello, everybody"]);
  });

  Deno.test("pub publishes each line, also an empty one and one without an end", async () => {
    const channel = uniqueChannel();
    await broadcaster(["pub", url, channel], { input: "one\r\n\n  three\nfour" });
    assertEquals(await messages(channel), ["one", "", "  three", "four"]);
  });

  Deno.test("pub publishes nothing for an empty input", async () => {
    const channel = uniqueChannel();
    const outcome = await broadcaster(["pub", url, channel]);
    assertEquals(outcome, { code: 0, stdout: "", stderr: "" });
    assertEquals(await messages(channel), []);
  });

  Deno.test("pub publishes a line at once, while its input is still open", async () => {
    const channel = uniqueChannel();
    await using broadcast = new Broadcast(url);
    const subscription = await broadcast.subscribe(channel);
    await using pub = new Running(["pub", url, channel]);
    await pub.type("first\n");
    for await (const { message } of subscription) {
      assertEquals(message, "first");
      break;
    }
    await pub.endInput();
    assertEquals((await pub.ended()).code, 0);
  });

  Deno.test("pub publishes all of its input as one message with -", async () => {
    const channel = uniqueChannel();
    await broadcaster(["pub", url, channel, "-"], { input: '{\n  "n": 1\n}\n' });
    assertEquals(await messages(channel), ['{\n  "n": 1\n}\n']);
  });

  Deno.test("pub keeps the order of 2,000 lines", async () => {
    const channel = uniqueChannel();
    const lines = Array.from({ length: 2_000 }, (_, index) => `line ${index}`);
    const outcome = await broadcaster(["pub", url, channel, "-v"], { input: lines.join("\n") });
    assertEquals(outcome.stderr, `2000 messages published to "${channel}"\n`);
    await using broadcast = new Broadcast(url);
    const events = await broadcast.history(channel, { limit: 3_000 });
    assertEquals(events.map(({ message }) => message), lines);
  });

  Deno.test("pub --json writes the id of each message", async () => {
    const channel = uniqueChannel();
    const { stdout } = await broadcaster(["pub", url, channel, "--json"], { input: "one\ntwo\n" });
    const told = stdout.trim().split("\n").map((line) => JSON.parse(line));
    assertEquals(told, (await past(channel)).map(({ id }) => ({ channel, id })));
  });

  Deno.test("pub --header and --key are those of the API", async () => {
    const channel = uniqueChannel();
    const args = ["pub", url, channel, "hello", "-H", "a=1", "--header=b=x=y", "--key", "once"];
    assertEquals((await broadcaster(args)).code, 0);
    assertEquals((await broadcaster(args)).code, 0);
    const [event, ...others] = await past(channel);
    assertEquals([event?.headers, others.length], [{ a: "1", b: "x=y" }, 0]);
  });

  Deno.test("pub ends at input that is not UTF-8", async () => {
    const channel = uniqueChannel();
    const outcome = await broadcaster(["pub", url, channel], { input: new Uint8Array([255, 10]) });
    assertEquals(outcome.code, 1);
    assertEquals(
      outcome.stderr,
      "error: Cannot publish standard input: it is not UTF-8\n",
    );
    assertEquals(await messages(channel), []);
  });

  Deno.test("pub ends at the first message that is refused", async () => {
    const channel = uniqueChannel();
    const small = `${url}?maxMessage=5`;
    const outcome = await broadcaster(["pub", small, channel], { input: "one\ntoo long\nthree\n" });
    assertEquals(outcome.code, 1);
    assertMatch(outcome.stderr, /^error: Cannot publish to "[^"]+": .*8 bytes.*\n$/);
    assertEquals((await messages(channel))[0], "one");
  });

  Deno.test("the URL is that of BROADCASTER_URL unless one is given", async () => {
    const channel = uniqueChannel();
    const env = { BROADCASTER_URL: url };
    assertEquals((await broadcaster(["pub", channel, "one"], { env })).code, 0);
    const wrong = { BROADCASTER_URL: "redis://127.0.0.1:1" };
    assertEquals((await broadcaster(["pub", url, channel, "two"], { env: wrong })).code, 0);
    assertEquals(await messages(channel), ["one", "two"]);
    const { code, stderr } = await broadcaster(["pub", channel, "three"]);
    assertEquals(code, 2);
    assertStringIncludes(stderr, "no broker is given: write its URL first");
  });
});

Deno.test("pub tells that a broker is not there, without the password", async () => {
  const url = "redis://user:hunter2@127.0.0.1:1";
  const { code, stdout, stderr } = await broadcaster(["pub", url, "chatroom", "hello"]);
  assertEquals({ code, stdout }, { code: 1, stdout: "" });
  assertMatch(stderr, /^error: Cannot connect to redis:\/\/127\.0\.0\.1:1: .*ECONNREFUSED.*\n$/);
});
