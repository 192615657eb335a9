/** The snippets for browsers run as printed, against a server of this process. */

import { join } from "node:path";
import { assert, assertEquals } from "@std/assert";
import { eventStreamResponse } from "../../core/sse/mod.ts";
import { sendTo } from "../../core/websocket/mod.ts";
import { Broadcast } from "../../mod.ts";
import { until } from "../services/service.ts";
import { SNIPPETS } from "./pages.ts";

/** The pages whose snippets run here. */
const RUN = ["docs/event-streams.md", "docs/websockets.md"];
const FRAMEWORKS = join(import.meta.dirname!, "..", "..", "examples", "frameworks");

Deno.test("the snippet for EventSource logs messages and gaps, and ends", async () => {
  await using broadcast = new Broadcast("memory://");
  await using server = Deno.serve(
    { port: 0, onListen: () => {} },
    () =>
      eventStreamResponse((signal) =>
        broadcast.subscribe("news", { after: "of another channel", signal })
      ),
  );
  const sources: EventSource[] = [];
  class Source extends EventSource {
    constructor(path: string) {
      super(new URL(path, `http://localhost:${server.addr.port}`));
      sources.push(this);
    }
  }
  const logged = run("docs/event-streams.md", { EventSource: Source });
  await until(() => logged.length > 0, "No gap was told");
  assertEquals(logged, [["unknown"]]);
  await broadcast.publish("news", "hello");
  await until(() => logged.length > 1, "No message came");
  assertEquals(logged.slice(1), [["hello"]]);
  await broadcast.writable("news", { end: true }).close();
  await until(() => sources[0]!.readyState === EventSource.CLOSED, "It did not end");
  assertEquals(sources.length, 1);
});

Deno.test("the snippet for WebSocket connects again behind what it has seen, and ends", async () => {
  await using broadcast = new Broadcast("memory://");
  const afters: (string | null)[] = [];
  const sockets: WebSocket[] = [];
  await using server = Deno.serve({ port: 0, onListen: () => {} }, (request) => {
    const { socket, response } = Deno.upgradeWebSocket(request);
    const after = new URL(request.url).searchParams.get("after") || null;
    afters.push(after);
    sockets.push(socket);
    sendTo(socket, (signal) => broadcast.subscribe("chatroom", { after, history: 1, signal }));
    return response;
  });
  const ends: Promise<unknown>[] = [];
  class Socket extends WebSocket {
    constructor(path: string) {
      super(new URL(path, `ws://localhost:${server.addr.port}`));
      ends.push(new Promise((resolve) => this.addEventListener("close", resolve)));
    }
  }
  const id = await broadcast.publish("chatroom", "one");
  const logged = run("docs/websockets.md", {
    WebSocket: Socket,
    setTimeout: (callback: () => void) => setTimeout(callback),
  });
  await until(() => logged.length > 0, "No message came");
  sockets[0]!.close(1013);
  await until(() => afters.length > 1, "It did not connect again");
  assertEquals(afters, [null, id!]);
  await broadcast.publish("chatroom", "two");
  await until(() => logged.length > 1, "No message came");
  assertEquals(logged, [["one", undefined], ["two", undefined]]);
  await broadcast.writable("chatroom", { end: true }).close();
  await Promise.all(ends);
  assertEquals(afters.length, 2);
});

Deno.test("every other snippet of JavaScript is a part of an example of a framework", async () => {
  const examples: string[] = [];
  for await (const { name } of Deno.readDir(FRAMEWORKS)) {
    examples.push(await Deno.readTextFile(join(FRAMEWORKS, name)));
  }
  const others = SNIPPETS.filter(({ page, kind }) => kind.startsWith("js") && !RUN.includes(page));
  assertEquals(others.length, 2);
  for (const { text } of others) {
    assert(examples.some((example) => example.includes(text.trim())), text);
  }
});

/** Runs the snippet of a page among these globals; what it logs comes later. */
function run(path: string, globals: Record<string, unknown>): unknown[][] {
  const { text } = SNIPPETS.find(({ page, kind }) => page === path && kind.startsWith("js"))!;
  const logged: unknown[][] = [];
  const names = { ...globals, console: { log: (...values: unknown[]) => logged.push(values) } };
  new Function(...Object.keys(names), text)(...Object.values(names));
  return logged;
}
