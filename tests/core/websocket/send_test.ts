/** Events sent to WebSockets: those of Deno, and ones whose client is as slow as a test wants. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { deadline } from "@std/async";
import { MemoryBackend } from "../../../backends/memory/log.ts";
import type { Tail, TailOptions, Target } from "../../../core/backend/contract.ts";
import { type EventSocket, type SendOptions, sendTo } from "../../../core/websocket/mod.ts";
import {
  Broadcast,
  type BroadcastEvent,
  ConnectionError,
  type MessageErrorEvent,
  RefusedError,
} from "../../../mod.ts";
import { numbered } from "../../conformance/harness.ts";

/** What takes longer has hung. */
const PATIENCE = 60_000;

/** Counts the tails that are open. */
class Counting extends MemoryBackend {
  tails = 0;

  override async tail(target: Target, options?: TailOptions): Promise<Tail> {
    const tail = await super.tail(target, options);
    const { cancel } = tail.records as { cancel(): Promise<void> };
    this.tails++;
    Object.assign(tail.records, {
      cancel: async () => {
        await cancel.call(tail.records);
        this.tails--;
      },
    });
    return tail;
  }
}

/** A server whose sockets get the events of a channel. */
class Server implements AsyncDisposable {
  readonly backend = new Counting();
  readonly broadcast = new Broadcast(this.backend, { linger: 0 });
  /** How each sending has ended. */
  readonly ended: Promise<void>[] = [];
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  constructor(options: SendOptions<BroadcastEvent> = {}) {
    const serve = (request: Request) => {
      const { socket, response } = Deno.upgradeWebSocket(request);
      const after = new URL(request.url).searchParams.get("after");
      const subscribe = (signal: AbortSignal) =>
        this.broadcast.subscribe("news", { after, maxResume: 100, signal });
      this.ended.push(sendTo(socket, subscribe, options).ended);
      return response;
    };
    this.#server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, serve);
  }

  /** Connects a client, which is open and subscribed. */
  async client(after?: string): Promise<Client> {
    const tails = this.backend.tails;
    const query = after === undefined ? "" : `?after=${after}`;
    const client = new Client(`ws://127.0.0.1:${this.#server.addr.port}/${query}`);
    await client.opened;
    if (tails === 0) { while (this.backend.tails === 0) await turn(); }
    return client;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.broadcast.disconnect();
    await this.#server.shutdown();
  }
}

/** A client that keeps what it gets. */
class Client {
  readonly socket: WebSocket;
  readonly opened: Promise<unknown>;
  readonly closed: Promise<CloseEvent>;
  readonly #got: string[] = [];
  #arrived = Promise.withResolvers<void>();

  constructor(url: string) {
    const socket = this.socket = new WebSocket(url);
    this.opened = new Promise((resolve) => socket.addEventListener("open", resolve));
    this.closed = new Promise((resolve) => socket.addEventListener("close", resolve));
    socket.addEventListener("message", ({ data }) => {
      this.#got.push(data);
      this.#arrived.resolve();
    });
  }

  /** The next messages. */
  async take(count: number): Promise<string[]> {
    while (this.#got.length < count) {
      this.#arrived = Promise.withResolvers();
      await deadline(this.#arrived.promise, PATIENCE);
    }
    return this.#got.splice(0, count);
  }
}

/** A socket without a client. Bun's has no listeners. */
class Socket implements EventSocket {
  readyState = 1;
  bufferedAmount = 0;
  readonly sent: unknown[] = [];
  closed: [code?: number, reason?: string] | undefined;

  send(data: string | Uint8Array): void {
    this.sent.push(data);
  }

  close(code?: number, reason?: string): void {
    this.readyState = 2;
    this.closed = [code!, reason!];
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await turn();
}

Deno.test("a client gets each event as JSON, and resumes by its id", async () => {
  await using server = new Server();
  const first = await server.client();
  for (const message of numbered(3)) await server.broadcast.publish("news", message);
  const events = (await first.take(3)).map((text) => JSON.parse(text));
  assertEquals(events.map(({ channel, message }) => [channel, message]), [
    ["news", "m0"],
    ["news", "m1"],
    ["news", "m2"],
  ]);
  const second = await server.client(events[0].id);
  const again = (await second.take(2)).map((text) => JSON.parse(text));
  assertEquals(again, events.slice(1));
  for (const { socket, closed } of [first, second]) {
    socket.close();
    await closed;
  }
});

Deno.test("a message is made once for all sockets", async () => {
  let made = 0;
  await using server = new Server({ map: ({ message }) => `${message} ${++made}` });
  const clients = [await server.client(), await server.client(), await server.client()];
  // A client is open before its subscription is there: the first message reaches them all.
  await until(() => server.ended.length === 3);
  const after = await server.broadcast.publish("news", "first");
  const late = await server.client(after);
  await server.broadcast.publish("news", "second");
  await late.take(1);
  const texts = await Promise.all(clients.map(async (client) => (await client.take(1))[0]));
  assert(new Set(texts).size === 1, `${texts}`);
  for (const { socket, closed } of [...clients, late]) {
    socket.close();
    await closed;
  }
});

Deno.test("a client that leaves closes its subscription", async () => {
  await using server = new Server();
  const client = await server.client();
  assertEquals(server.backend.tails, 1);
  client.socket.close();
  await client.closed;
  await server.ended[0];
  await until(() => server.backend.tails === 0);
});

Deno.test("a client that left before the call needs no subscription", async () => {
  const backend = new Counting();
  await using broadcast = new Broadcast(backend, { linger: 0 });
  const socket = new Socket();
  socket.readyState = 3;
  await sendTo(socket, () => {
    throw new Error("it was asked for");
  }).ended;
  await sendTo(socket, await broadcast.subscribe("news")).ended;
  await until(() => backend.tails === 0);
  assertEquals(socket.closed, undefined);
});

Deno.test("a client that does not keep up is closed with 1013, and its subscription too", async () => {
  const backend = new Counting();
  await using broadcast = new Broadcast(backend, { linger: 0 });
  const socket = new Socket();
  const sending = sendTo(socket, await broadcast.subscribe("news"), { maxBuffered: 100 });
  await broadcast.publish("news", "first");
  await until(() => socket.sent.length === 1);
  socket.bufferedAmount = 101;
  for (const message of numbered(3)) await broadcast.publish("news", message);
  await sending.ended;
  assertEquals(socket.sent.length, 2);
  assertEquals(socket.closed?.[0], 1013);
  await until(() => backend.tails === 0);
});

Deno.test("the end of a channel is 1000 with its reason, cut to what a frame can have", async () => {
  await using broadcast = new Broadcast("memory://");
  const socket = new Socket();
  const sending = sendTo(socket, await broadcast.subscribe("run"));
  const writer = broadcast.writable("run", { end: "é".repeat(100) }).getWriter();
  await writer.write("done");
  await writer.close();
  await sending.ended;
  assertEquals(socket.sent.length, 1);
  assertEquals(socket.closed, [1000, "é".repeat(61)]);
});

Deno.test("a socket is closed with the code of what ended the events", async () => {
  const codes = [];
  for (const error of [new ConnectionError("away"), new RefusedError("no right")]) {
    const socket = new Socket();
    await sendTo(socket, () => Promise.reject(error)).ended;
    codes.push(socket.closed?.[0]);
  }
  const broadcast = new Broadcast("memory://");
  const socket = new Socket();
  const sending = sendTo(socket, await broadcast.subscribe("news"));
  await broadcast.disconnect();
  await sending.ended;
  codes.push(socket.closed?.[0]);
  assertEquals(codes, [1013, 1011, 1001]);
});

Deno.test("an event that has no message is one messageerror, and a gap of one before the next", async () => {
  await using broadcast = new Broadcast("memory://");
  const errors: MessageErrorEvent[] = [];
  broadcast.addEventListener("messageerror", (event) => void errors.push(event));
  const map = (event: BroadcastEvent) => {
    if (event.message === "bad") throw new Error("no text for it");
    return JSON.stringify(event);
  };
  const socket = new Socket();
  await using _sending = sendTo(socket, await broadcast.subscribe("news"), { map });
  const ids = [];
  for (const message of ["good", "bad", "better"]) {
    ids.push(await broadcast.publish("news", message));
  }
  await until(() => socket.sent.length === 2);
  const [good, better] = socket.sent.map((text) => JSON.parse(text as string));
  assertEquals([good.message, good.gap], ["good", undefined]);
  assertEquals(better.message, "better");
  assertEquals(better.gap, { cause: "unknown", after: ids[0], missed: 1 });
  assertEquals(errors.length, 1);
  assert(`${errors[0]!.error}`.includes("no text for it"));
});

Deno.test("a socket of Bun ends by its handle, and waits are counted by its method", async () => {
  const backend = new Counting();
  await using broadcast = new Broadcast(backend, { linger: 0 });
  let waiting = 0;
  const { bufferedAmount: _, ...rest } = new Socket();
  const socket = {
    ...rest,
    send: Socket.prototype.send,
    close: Socket.prototype.close,
    getBufferedAmount: () => waiting,
  };
  const first = sendTo(socket, await broadcast.subscribe("news"));
  first.close();
  await first.ended;
  assertEquals(socket.closed, undefined);
  await using second = sendTo(socket, await broadcast.subscribe("news"), { maxBuffered: 10 });
  waiting = 11;
  await broadcast.publish("news", "hello");
  await second.ended;
  assertEquals(socket.closed?.[0], 1013);
});

Deno.test("a signal ends the sending, and leaves the socket open", async () => {
  const backend = new Counting();
  await using broadcast = new Broadcast(backend, { linger: 0 });
  const left = new AbortController();
  const socket = new Socket();
  const { signal } = left;
  const sending = sendTo(socket, await broadcast.subscribe("news"), { signal });
  left.abort();
  await sending.ended;
  await until(() => backend.tails === 0);
  assertEquals([socket.readyState, socket.closed], [1, undefined]);
});

Deno.test("wrong options and events are refused at once", () => {
  const wrong: [unknown, unknown, string][] = [
    ["news", {}, "Cannot send events: they must be a subscription"],
    [() => {}, { map: "json" }, "Cannot send to WebSocket: option map must be a function"],
    [() => {}, { maxBuffered: -1 }, "Cannot send to WebSocket: option maxBuffered"],
  ];
  for (const [events, options, message] of wrong) {
    assertThrows(() => sendTo(new Socket(), events as never, options as never), Error, message);
  }
});
