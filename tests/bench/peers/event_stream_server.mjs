/**
 * A server of event streams, for Node, Deno and Bun: `event_stream_server.mjs contender`. It prints
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
  async "pipeline()"() {
    const { Broadcast } = await import("@broadcaster/broadcaster");
    const { eventStream } = await import("@broadcaster/broadcaster/sse");
    const broadcast = new Broadcast("memory://");
    const port = await listen(async (_request, response) => {
      const left = new AbortController();
      response.on("close", () => left.abort());
      try {
        const { signal } = left;
        const subscription = await broadcast.subscribe(CHANNEL, { signal });
        response.writeHead(200, HEAD);
        await pipeline(eventStream(subscription), response);
      } catch {
        if (!response.headersSent) response.writeHead(503);
        response.end();
      }
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
  return new Promise((resolve) => {
    const server = createServer(handle);
    server.listen(0, "127.0.0.1", 2_048, () => resolve(server.address().port));
  });
}

/** Serves web responses, on Deno or Bun. */
async function serve(fetch) {
  const place = { hostname: "127.0.0.1", port: 0 };
  if ("Bun" in globalThis) return globalThis.Bun.serve({ ...place, idleTimeout: 0, fetch }).port;
  return await new Promise((resolve) => {
    globalThis.Deno.serve({ ...place, onListen: ({ port }) => resolve(port) }, fetch);
  });
}
