/** Events sent to WebSockets: of `ws` on Node, and of Bun's own server. */

import { Broadcast } from "@broadcaster/broadcaster";
import { sendTo } from "@broadcaster/broadcaster/websocket";
import assert from "node:assert/strict";
import process from "node:process";

const { Bun } = globalThis;
const broadcast = new Broadcast("memory://");
/** What has ended. */
const ended = [];
/** Settles once the first socket is subscribed. */
let subscribed;
const ready = new Promise((resolve) => subscribed = resolve);

function send(socket, url) {
  const after = new URL(url, "http://localhost").searchParams.get("after");
  const sending = sendTo(socket, async (signal) => {
    const subscription = await broadcast.subscribe("news", { after, maxResume: 100, signal });
    subscribed();
    return subscription;
  });
  ended.push(sending.ended);
  return sending;
}

async function serve() {
  if (Bun) {
    const server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: (request, server) => {
        if (!server.upgrade(request, { data: { url: request.url } })) {
          return new Response("", { status: 400 });
        }
      },
      websocket: {
        open: (socket) => void (socket.data.sending = send(socket, socket.data.url)),
        message() {},
        // A socket of Bun has no listeners.
        close: (socket) => socket.data.sending.close(),
      },
    });
    return { port: server.port, stop: () => server.stop(true) };
  }
  const { WebSocketServer } = await import("ws");
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
  server.on("connection", (socket, { url }) => void send(socket, url));
  await new Promise((resolve) => server.on("listening", resolve));
  return { port: server.address().port, stop: () => server.close() };
}

/** A client that keeps what it gets; of `ws`, since Node 20 has none. */
async function connect(port, after) {
  const Client = Bun ? WebSocket : (await import("ws")).WebSocket;
  const socket = new Client(`ws://127.0.0.1:${port}/${after ? `?after=${after}` : ""}`);
  const got = [];
  let arrived = () => {};
  socket.onmessage = ({ data }) => {
    got.push(JSON.parse(data));
    arrived();
  };
  await new Promise((resolve) => socket.onopen = resolve);
  return {
    close: () => socket.close(),
    closed: new Promise((resolve) => socket.onclose = resolve),
    async take(count) {
      while (got.length < count) await new Promise((resolve) => arrived = resolve);
      return got.splice(0, count);
    },
  };
}

const { port, stop } = await serve();
const first = await connect(port);
await ready;
const id = await broadcast.publish("news", "hello");
for (const message of ["one", "two"]) await broadcast.publish("news", message);
assert.deepEqual((await first.take(3)).map(({ message }) => message), ["hello", "one", "two"]);
const second = await connect(port, id);
const events = await second.take(2);
assert.deepEqual(events.map(({ message }) => message), ["one", "two"]);

first.close();
await Promise.all([first.closed, ended[0]]);
await broadcast.disconnect();
const { code } = await second.closed;
assert.equal(code, 1001);
await ended[1];
stop();
process.stdout.write("passed\n");
process.exit(0);
