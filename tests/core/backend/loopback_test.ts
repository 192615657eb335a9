/** Tokens that prove that a subscribing connection hears what is published. */

import { assertEquals, assertRejects } from "@std/assert";
import { ConnectionError, Loopback, RefusedError } from "../../../backends/mod.ts";

const SILENCE = "NOTIFY did not come back: is this a transaction pooler?";

Deno.test("a token that comes back proves the session, even before it is acknowledged", async () => {
  const loopback: Loopback = new Loopback({
    silence: SILENCE,
    send: (token) => {
      assertEquals(loopback.receive(token), true);
      return new Promise(() => {});
    },
  });
  await loopback.prove(false);
  assertEquals(loopback.isProven, true);
});

Deno.test("a token of another session proves nothing", () => {
  const loopback = new Loopback({ silence: SILENCE, send: () => Promise.resolve() });
  assertEquals(loopback.receive("another"), false);
  assertEquals(loopback.isProven, false);
});

for (const [wasProven, type] of [[false, RefusedError], [true, ConnectionError]] as const) {
  Deno.test(`silence is a ${type.name} ${wasProven ? "once" : "unless"} a session was proven`, async () => {
    const loopback = new Loopback({ silence: SILENCE, limit: 5, send: () => Promise.resolve() });
    assertEquals((await assertRejects(() => loopback.prove(wasProven), type)).message, SILENCE);
  });
}

Deno.test("a user without the right to publish tokens is not checked", async () => {
  let sent = 0;
  const loopback = new Loopback({
    silence: SILENCE,
    send: () => {
      sent++;
      return Promise.reject(new RefusedError("no permission"));
    },
  });
  await loopback.prove(false);
  await loopback.probe(new AbortController().signal);
  assertEquals([loopback.isProven, sent], [false, 1]);
});

Deno.test("a lost connection while a token is under way is a lost connection", async () => {
  const lost = new ConnectionError("the connection was lost");
  const loopback = new Loopback({ silence: SILENCE, send: () => Promise.reject(lost) });
  assertEquals(await assertRejects(() => loopback.prove(false)), lost);
});

Deno.test("a probe sends a token only if nothing was heard since the last one", async () => {
  let sent = 0;
  const loopback: Loopback = new Loopback({
    silence: SILENCE,
    send: (token) => {
      if (sent++ < 2) loopback.receive(token);
      return Promise.resolve();
    },
  });
  const { signal } = new AbortController();
  await loopback.prove(false);
  await loopback.probe(signal);
  assertEquals(sent, 1);
  await loopback.probe(signal);
  assertEquals(sent, 2);
  loopback.hear();
  await loopback.probe(signal);
  assertEquals(sent, 2);
  const late = AbortSignal.abort(new ConnectionError("a probe was not answered"));
  await assertRejects(() => loopback.probe(late), ConnectionError, "a probe was not answered");
});
