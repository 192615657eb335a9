/** `broadcaster sub`: events as lines, gaps, signals and pipes. */

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { Broadcast, bytes } from "../../mod.ts";
import { Rig } from "../backends/rig.ts";
import { uniqueChannel } from "../conformance/harness.ts";
import { withBroker } from "../services/broker.ts";
import { Proxy } from "../services/proxy.ts";
import { start } from "../services/redis.ts";
import { withScheme } from "./brokers.ts";
import { broadcaster, Running, shell } from "./command.ts";

withBroker("redis", (found) => {
  const log = withScheme(found, "redis-stream");

  /** A subscription that is open. */
  async function subscribed(...args: string[]): Promise<Running> {
    const sub = new Running(["sub", ...args, "-v"]);
    await sub.said("stderr", "subscribed to");
    return sub;
  }

  Deno.test("sub names the channel of each event, if there are several", async () => {
    const [one, two] = [uniqueChannel(), `${uniqueChannel()}-long`];
    await using sub = await subscribed(found, one, two, "--count", "2");
    await broadcaster(["pub", found, one, "first"]);
    await sub.said("stdout", "first");
    await broadcaster(["pub", found, two, "second"]);
    const { stdout } = await sub.ended();
    const width = Math.min(two.length, 24);
    assertEquals(stdout, `${one.padEnd(width)} | first\n${two} | second\n`);
  });

  Deno.test("sub --pattern names the channel of each event", async () => {
    const prefix = uniqueChannel();
    await using sub = await subscribed(found, "--pattern", `${prefix}.*`, "--count", "1");
    await broadcaster(["pub", found, `${prefix}.7`, "hello"]);
    const { stdout } = await sub.ended();
    assertEquals(stdout, `${prefix}.7 | hello\n`);
  });

  Deno.test("sub warns of a star in the name of a channel", async () => {
    await using sub = await subscribed(found, "room.*");
    assertStringIncludes(
      sub.stderr,
      'warning: "room.*" is the name of one channel, for a pattern write --pattern\n',
    );
  });

  Deno.test("sub --json writes an object a line, with id, channel, message and timestamp", async () => {
    const channel = uniqueChannel();
    await broadcaster(["pub", log, channel, "-"], { input: "two\nlines" });
    const args = ["sub", log, channel, "--history", "5", "--count", "1", "--json"];
    const { stdout } = await broadcaster(args);
    await using broadcast = new Broadcast(log);
    const [event] = await broadcast.history(channel);
    assertEquals(stdout.split("\n").length, 2);
    assertEquals(JSON.parse(stdout), { ...event });
  });

  Deno.test("sub --after goes on after an event", async () => {
    const channel = uniqueChannel();
    const { stdout: ids } = await broadcaster(["pub", log, channel, "--json"], {
      input: "one\ntwo\nthree\n",
    });
    const { id } = JSON.parse(ids.split("\n")[0]!);
    const { stdout } = await broadcaster(["sub", log, channel, "--after", id, "--count", "2"]);
    assertEquals(stdout, "two\nthree\n");
  });

  Deno.test("sub tells a gap on standard error, or in its place with --json", async () => {
    const channel = uniqueChannel();
    const args = ["sub", log, channel, "--history", "1", "--after", "wrong", "--count", "1"];
    await broadcaster(["pub", log, channel, "hello"]);
    const text = await broadcaster(args);
    assertEquals([text.stdout, text.stderr], [
      "hello\n",
      "gap: events may be missing (unknown)\n",
    ]);
    const json = await broadcaster([...args, "--json"]);
    const [gap, event] = json.stdout.trim().split("\n").map((line) => JSON.parse(line));
    assertEquals([gap, event.message, event.gap], [
      { gap: { cause: "unknown" } },
      "hello",
      undefined,
    ]);
    assertEquals(json.stderr, "");
  });

  Deno.test("sub writes a message that is no text as it is, and as base64 with --json", async () => {
    const channel = uniqueChannel();
    await using broadcast = new Broadcast(log, { codec: bytes() });
    await broadcast.publish(channel, new Uint8Array([255, 0, 65]));
    const args = ["sub", log, channel, "--history", "1", "--count", "1"];
    const { stdout } = await broadcaster([...args, "--json"]);
    assertEquals(JSON.parse(stdout).base64, "/wBB");
    assertEquals((await broadcaster(args)).stdout, "\ufffd\0A\n");
  });

  Deno.test("an interrupt ends sub by this signal, with everything closed", async () => {
    const channel = uniqueChannel();
    await using sub = await subscribed(found, channel);
    await broadcaster(["pub", found, channel, "hello"]);
    await sub.said("stdout", "hello\n");
    sub.kill("SIGINT");
    const { code, signal, stdout } = await sub.ended();
    assertEquals([code, signal, stdout], [130, "SIGINT", "hello\n"]);
  });

  Deno.test("SIGTERM ends sub in the same way", async () => {
    await using sub = await subscribed(found, uniqueChannel());
    sub.kill("SIGTERM");
    const { code, signal } = await sub.ended();
    assertEquals([code, signal], [143, "SIGTERM"]);
  });

  Deno.test("sub ends quietly once nobody reads it", async () => {
    const channel = uniqueChannel();
    const lines = Array.from({ length: 5_000 }, (_, index) => `line ${index}`);
    await broadcaster(["pub", log, channel], { input: lines.join("\n") });
    const command = shell(["sub", log, channel, "--history", "5000"], "head -n 1");
    const args = ["-o", "pipefail", "-c", command];
    const { code, stdout, stderr } = await new Deno.Command("bash", { args }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    assertEquals([code, text(stdout), text(stderr)], [0, "line 0\n", ""]);
  });

  Deno.test("sub ends with the channel", async () => {
    const channel = uniqueChannel();
    await using broadcast = new Broadcast(log);
    const writer = broadcast.writable(channel, { end: "done" }).getWriter();
    await writer.write("hello");
    await writer.close();
    const { code, stdout, stderr } = await broadcaster([
      ...["sub", log, channel, "--history", "5", "-v"],
    ]);
    assertEquals([code, stdout], [0, "hello\n"]);
    assertStringIncludes(stderr, "the channel was ended: done\n");
  });

  Deno.test("colours are shown with FORCE_COLOR, and not with NO_COLOR or in a pipe", async () => {
    const channel = uniqueChannel();
    await broadcaster(["pub", log, channel, "hello"]);
    const args = ["sub", log, channel, uniqueChannel(), "--history", "1", "--count", "1"];
    const isColoured = async (env: Record<string, string>) =>
      (await broadcaster(args, { env })).stdout.includes("\x1b[");
    assertEquals(await isColoured({}), false);
    assertEquals(await isColoured({ FORCE_COLOR: "1" }), true);
    assertEquals(await isColoured({ FORCE_COLOR: "0" }), false);
    assertEquals(await isColoured({ NO_COLOR: "1" }), false);
  });
});

Deno.test("sub tells that its connection was lost and is back, with the gap", async () => {
  const server = await start();
  await using rig = new Rig(server, await Proxy.start(server.port));
  await using sub = new Running(["sub", rig.url, "chatroom", "-v", "--count", "1"]);
  await sub.said("stderr", "subscribed to");
  rig.proxy.cut();
  await sub.said("stderr", "connected again\n");
  await broadcaster(["pub", rig.direct, "chatroom", "hello"]);
  const { stdout, stderr } = await sub.ended();
  assertEquals(stdout, "hello\n");
  assertMatch(stderr, /connection lost, trying again: .+\n/);
  assertStringIncludes(stderr, "gap: events may be missing (disconnect)\n");
});

Deno.test("a terminal shows what a message would have it obey", async () => {
  const input = "\x1b[31mred\x07\ttab\n";
  await using server = await start();
  const url = server.url.replace("redis:", "redis-stream:");
  await broadcaster(["pub", url, "chatroom", "-"], { input });
  const { stdout } = await new Deno.Command("script", {
    args: ["-qec", shell(["history", url, "chatroom"]), "/dev/null"],
    env: { NO_COLOR: "1" },
    stdin: "null",
  }).output();
  assertEquals(new TextDecoder().decode(stdout), "\\u001b[31mred\\u0007\ttab\r\n\r\n");
});
