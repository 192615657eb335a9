import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { deadline } from "@std/async";
import { count, failuresIn } from "../run.ts";
import { Proxy } from "./proxy.ts";
import { start } from "./redis.ts";
import { find } from "./service.ts";

const PATIENCE = 60_000;

test("Proxy passes bytes both ways", async () => {
  await using server = await start();
  await using proxy = await Proxy.start(server.port);
  await using client = await open(proxy.port);
  assertEquals(await client.ask("PING\r\n"), "+PONG\r\n");
  assertEquals(proxy.connections, 1);
});

Deno.test("Proxy.url() replaces the host and keeps the rest", async () => {
  await using proxy = await Proxy.start(1);
  assertEquals(proxy.url("redis://a:6379"), `redis://127.0.0.1:${proxy.port}`);
  assertEquals(proxy.url("kafka://u:p@a:1,b:2/x?y=z"), `kafka://u:p@127.0.0.1:${proxy.port}/x?y=z`);
});

test("Proxy.cut() ends every connection and accepts new ones", async () => {
  await using server = await start();
  await using proxy = await Proxy.start(server.port);
  await using first = await open(proxy.port);
  await using second = await open(proxy.port);
  await Promise.all([first.ask("PING\r\n"), second.ask("PING\r\n")]);
  proxy.cut();
  await deadline(Promise.all([first.closed, second.closed]), PATIENCE);
  await using third = await open(proxy.port);
  assertEquals(await third.ask("PING\r\n"), "+PONG\r\n");
  assertEquals(proxy.connections, 1);
});

test("Proxy.stall() holds bytes back until resume()", async () => {
  await using server = await start();
  await using proxy = await Proxy.start(server.port);
  await using client = await open(proxy.port);
  await client.ask("PING\r\n");
  proxy.stall();
  const late = client.ask("INCR n\r\n");
  await using direct = await open(server.port);
  assertEquals(await direct.ask("INCR n\r\n"), ":1\r\n");
  await using stranger = await open(proxy.port);
  const later = stranger.ask("PING\r\n");
  proxy.resume();
  assertEquals(await late, ":2\r\n");
  assertEquals(await later, "+PONG\r\n");
});

test("Proxy.refuse() keeps open connections and turns new ones away until accept()", async () => {
  await using server = await start();
  await using proxy = await Proxy.start(server.port);
  await using client = await open(proxy.port);
  await client.ask("PING\r\n");
  proxy.refuse();
  await assertRejects(() => open(proxy.port), Error, "ECONNREFUSED");
  assertEquals(await client.ask("PING\r\n"), "+PONG\r\n");
  await proxy.accept();
  await using another = await open(proxy.port);
  assertEquals(await another.ask("PING\r\n"), "+PONG\r\n");
});

test("Server.stop() kills and restart() serves on the same port", async () => {
  await using server = await start({ args: ["--appendonly", "yes", "--appendfsync", "always"] });
  await using before = await open(server.port);
  await before.ask("SET kept yes\r\n");
  await server.stop("SIGKILL");
  await deadline(before.closed, PATIENCE);
  await assertRejects(() => open(server.port), Error, "ECONNREFUSED");
  await server.restart();
  await using after = await open(server.port);
  assertEquals(await after.ask("GET kept\r\n"), "$3\r\nyes\r\n");
});

test("Server.start() rejects with the last words of a server that cannot start", async () => {
  const error = await assertRejects(() => start({ args: ["--nonsense"] }), Error, "Cannot start");
  assertStringIncludes(error.message, "nonsense");
});

test("start() with a password lets in only those who know it", async () => {
  await using server = await start({ password: "s3" });
  assertEquals(server.url, `redis://:s3@127.0.0.1:${server.port}`);
  await using client = await open(server.port);
  assertStringIncludes(await client.ask("PING\r\n"), "NOAUTH");
  assertEquals(await client.ask("AUTH s3\r\n"), "+OK\r\n");
});

Deno.test("find() tells why a service is skipped", async () => {
  const found = await find({
    variable: "BROADCASTER_NO_SUCH_URL",
    usual: () => Promise.resolve(undefined),
    start: () => Promise.reject(new Error("no server")),
  });
  assert("skip" in found);
  assertEquals(found.skip, "no server, or set BROADCASTER_NO_SUCH_URL");
});

Deno.test("count() adds tests and steps", () => {
  assertEquals(count("ok | 12 passed (34 steps) | 0 failed (5s)"), {
    passed: 46,
    failed: 0,
  });
  assertEquals(count("FAILED | 1 passed | 2 failed (1 step) | 3 ignored (2 steps) (9ms)"), {
    passed: 1,
    failed: 3,
  });
  assertEquals(count("\x1b[32mok\x1b[0m | 1 passed | 0 failed \x1b[90m(1ms)\x1b[0m\n"), {
    passed: 1,
    failed: 0,
  });
  assertEquals(count("error: Type checking failed."), undefined);
});

Deno.test("failuresIn() is what a run says of its failures, or else how it ended", () => {
  const failures = [
    " ERRORS ",
    "",
    "a => a_test.ts:1:1",
    " FAILURES ",
    "",
    "FAILED | 1 failed (2s)",
  ];
  assertEquals(failuresIn(`a ... FAILED\n\x1b[0m${failures.join("\n")}\n\n`), failures);
  const lines = Array.from({ length: 100 }, (_, index) => `${index}`);
  assertEquals(failuresIn(lines.join("\n")), lines.slice(-60));
});

/** A test that needs a Redis server of its own. */
function test(name: string, fn: () => Promise<void>): void {
  const skip = Deno.env.get("BROADCASTER_SKIP_REDIS");
  Deno.test({ name: skip ? `${name} (${skip})` : name, ignore: skip !== undefined, fn });
}

interface Client extends AsyncDisposable {
  ask(line: string): Promise<string>;
  closed: Promise<unknown>;
}

async function open(port: number): Promise<Client> {
  const socket = connect(port, "127.0.0.1");
  const closed = new Promise((resolve) => socket.on("close", resolve));
  try {
    await once(socket, "connect");
  } finally {
    socket.on("error", () => socket.destroy());
  }
  return {
    closed,
    ask: (line) => ask(socket, line),
    async [Symbol.asyncDispose]() {
      socket.destroy();
      await closed;
    },
  };
}

async function ask(socket: Socket, line: string): Promise<string> {
  const reply = once(socket, "data");
  socket.write(line);
  const [chunk] = await deadline(reply, PATIENCE);
  return String(chunk);
}
