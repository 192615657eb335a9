/**
 * A server of event streams or WebSockets, for Node, Deno and Bun: `event_stream_server.mjs contender`. It prints
 * its port; a number on its input publishes so many messages in one turn, and `memory` prints what
 * it holds.
 *
 * @module
 */

import { createServer } from "node:http";
import process from "node:process";
import { createInterface } from "node:readline";
import { pipeline } from "node:stream/promises";
import { message } from "./pace.mjs";

const CHANNEL = "bench";
const HEAD = { "content-type": "text/event-stream", "cache-control": "no-cache" };

/** Each serves, and returns its port and how to publish. */
const CONTENDERS = {
  /** Ours on Node, as the README says. */
  async "sendEventStream()"() {
    const { Broadcast } = await import("@broadcaster/broadcaster");
    const { sendEventStream } = await import("@broadcaster/broadcaster/sse");
    const broadcast = new Broadcast("memory://");
    const port = await listen(async (_request, response) => {
      await sendEventStream(response, (signal) => broadcast.subscribe(CHANNEL, { signal }));
    });
    return { port, publish: (message) => broadcast.publish(CHANNEL, message) };
  },

  /** Ours as a web stream. */
  async "pipeline()"() {
    const { Broadcast } = await import("@broadcaster/broadcaster");
    const { eventStream } = await import("@broadcaster/broadcaster/sse");
    const broadcast = new Broadcast("memory://");
    const port = await listen(async (_request, response) => {
      response.writeHead(200, HEAD);
      await pipeline(eventStream(await broadcast.subscribe(CHANNEL)), response);
    });
    return { port, publish: (message) => broadcast.publish(CHANNEL, message) };
  },

  async "better-sse"() {
    const { createChannel, createSession } = await import("better-sse");
    const channel = createChannel();
    const port = await listen(async (request, response) => {
      channel.register(await createSession(request, response));
    });
    return { port, publish: (message) => channel.broadcast(message) };
  },

  /** The limit on Node: one frame, ready, for all responses. */
  async "res.write()"() {
    const responses = new Set();
    const port = await listen((_request, response) => {
      response.writeHead(200, HEAD).flushHeaders();
      responses.add(response);
      response.on("close", () => responses.delete(response));
    });
    return {
      port,
      publish(message) {
        const bytes = frame(message);
        for (const response of responses) response.write(bytes);
      },
    };
  },

  /** Ours as a web response. */
  async "eventStreamResponse()"() {
    const { Broadcast } = await import("@broadcaster/broadcaster");
    const { eventStreamResponse, lastEventId } = await import("@broadcaster/broadcaster/sse");
    const broadcast = new Broadcast("memory://");
    const port = await serve(async (request) => {
      const after = lastEventId(request);
      const subscription = await broadcast.subscribe(CHANNEL, { after });
      return eventStreamResponse(subscription);
    });
    return { port, publish: (message) => broadcast.publish(CHANNEL, message) };
  },

  /** The limit of a web response: one frame, ready, for all streams. */
  async "enqueue()"() {
    const controllers = new Set();
    const port = await serve(() => {
      let mine;
      const body = new ReadableStream({
        start(controller) {
          controllers.add(mine = controller);
          controller.enqueue(new TextEncoder().encode(":\n\n"));
        },
        cancel: () => void controllers.delete(mine),
      });
      return new Response(body, { headers: HEAD });
    });
    return {
      port,
      publish(message) {
        const bytes = frame(message);
        for (const controller of controllers) controller.enqueue(bytes);
      },
    };
  },

  /** Ours over WebSockets. */
  async "sendTo()"() {
    const { Broadcast } = await import("@broadcaster/broadcaster");
    const { sendTo } = await import("@broadcaster/broadcaster/websocket");
    const broadcast = new Broadcast("memory://");
    const map = ({ message }) => message;
    const { port, server } = await listenToSockets();
    server.on("connection", (socket) => {
      sendTo(socket, (signal) => broadcast.subscribe(CHANNEL, { signal }), { map });
    });
    return { port, publish: (message) => broadcast.publish(CHANNEL, message) };
  },

  async "Socket.IO"() {
    const { Server } = await import("socket.io");
    const server = createServer();
    // The client answers no pings.
    const io = new Server(server, { transports: ["websocket"], pingInterval: 3_600_000 });
    const port = await listening(server);
    return { port, publish: (message) => io.emit("message", message) };
  },

  /** The limit of WebSockets: a loop over all of them. */
  async "ws.send()"() {
    const { port, server } = await listenToSockets();
    return {
      port,
      publish(message) {
        for (const socket of server.clients) socket.send(message);
      },
    };
  },
};

let id = 0;
const { port, publish } = await CONTENDERS[process.argv[2]]();
process.stdout.write(`${port}\n`);
for await (const line of createInterface(process.stdin)) {
  if (line === "memory") process.stdout.write(`${held()}\n`);
  else for (let left = Number(line); left > 0; left--) void publish(text());
}
process.exit(0);

/** The sign that the client counts stands in no frame's other lines. */
function text() {
  return `${message(++id)}|`;
}

function frame(message) {
  return new TextEncoder().encode(`id: ${id}\ndata: ${message}\n\n`);
}

function held() {
  for (let times = 0; times < 3; times++) {
    globalThis.gc?.();
    globalThis.Bun?.gc(true);
  }
  return process.memoryUsage().rss;
}

function listen(handle) {
  return listening(createServer(handle));
}

function listening(server) {
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", 2_048, () => resolve(server.address().port));
  });
}

async function listenToSockets() {
  const { WebSocketServer } = await import("ws");
  const http = createServer();
  const server = new WebSocketServer({ server: http });
  return { port: await listening(http), server };
}

/** Serves web responses, on Deno or Bun. */
async function serve(fetch) {
  const place = { hostname: "127.0.0.1", port: 0 };
  if ("Bun" in globalThis) return globalThis.Bun.serve({ ...place, idleTimeout: 0, fetch }).port;
  return await new Promise((resolve) => {
    globalThis.Deno.serve({ ...place, onListen: ({ port }) => resolve(port) }, fetch);
  });
}
