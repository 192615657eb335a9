/** What the server of the examples refuses: pages of other sites, and more than it should take. */

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { request } from "node:http";
import { Example, run } from "./example.ts";

Deno.test("Examples: only their own pages may publish or open a socket", async () => {
  await using sse = await Example.start("examples/sse.ts");
  const { port } = new URL(sse.url);
  const cases: [headers: Record<string, string>, status: number][] = [
    [{}, 204],
    [{ origin: `http://localhost:${port}`, host: `localhost:${port}` }, 204],
    [{ origin: "https://evil.example" }, 403],
    [{ origin: `http://localhost:${Number(port) + 1}` }, 403],
    [{ origin: "null" }, 403],
    // A site that gave this machine a name of its own.
    [{ origin: `http://evil.example:${port}`, host: `evil.example:${port}` }, 403],
  ];
  for (const [headers, status] of cases) {
    assertEquals(await ask(port, "/publish", headers, "hello"), status, JSON.stringify(headers));
  }
  await using chat = await Example.start("examples/chat.ts");
  const socket = new WebSocket(chat.url.replace("http", "ws") + "chat", {
    headers: { origin: "https://evil.example" },
  });
  await new Promise((resolve) => socket.onerror = resolve);
});

Deno.test("Examples: what a client sends is bounded", async () => {
  await using sse = await Example.start("examples/sse.ts");
  const { port } = new URL(sse.url);
  assertEquals(await ask(port, "/publish", {}, "x".repeat(2_000)), 204);
  assertEquals(await ask(port, "/publish", {}, "x".repeat(2_001)), 413);
  await using tokens = await Example.start("examples/tokens.ts");
  const statuses = new Set<number>();
  for (let count = 0; count < 120; count++) {
    statuses.add(await ask(new URL(tokens.url).port, "/runs", {}, "?"));
  }
  assertEquals(statuses, new Set([200, 503]));
});

for (const name of ["chat", "dashboard", "resume", "sse", "tokens"]) {
  Deno.test(`Examples: ${name} listens on localhost, and a port that is taken is a line`, async () => {
    const file = `examples/${name}.ts`;
    using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = taken.addr;
    const { code, stderr } = await run(file, "memory://", "--port", `${port}`);
    assertEquals([code, stderr], [
      1,
      `Cannot listen on 127.0.0.1:${port}: the port is in use, choose another with --port\n`,
    ]);
    const away = await run(file, "redis://user:secret@127.0.0.1:1");
    assertEquals(away.code, 1);
    assertMatch(away.stderr, /^Cannot \w+ [^\n]*redis:\/\/127\.0\.0\.1:1: [^\n]*\n$/);
  });
}

for (const hostname of ["::", "::1", "[::1]"]) {
  const hasIpv6 = Deno.networkInterfaces().some(({ address }) => address === "::1");
  Deno.test({
    name: `Examples: one that listens on ${hostname} prints an address that can be opened${
      hasIpv6 ? "" : " (skipped: this machine has no IPv6)"
    }`,
    ignore: !hasIpv6,
    fn: async () => {
      await using sse = await Example.start("examples/sse.ts", "--hostname", hostname);
      const { output } = await sse.stop();
      assertStringIncludes(output, ` on ${sse.url.slice(0, -1)} over memory`);
    },
  });
}

Deno.test("Examples: they end in good order", async () => {
  for (const name of ["dashboard", "resume", "sse", "tokens"]) {
    await using example = await Example.start(`examples/${name}.ts`);
    const { code } = await example.stop("SIGTERM");
    assertEquals(code, 0);
  }
});

/** Sends a POST with headers that `fetch()` does not let pass. */
function ask(
  port: string,
  path: string,
  headers: Record<string, string>,
  body: string,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: "127.0.0.1", port, path, method: "POST", headers }, (response) => {
      response.resume();
      response.on("end", () => resolve(response.statusCode!));
    });
    sent.on("error", reject);
    sent.end(body);
  });
}
