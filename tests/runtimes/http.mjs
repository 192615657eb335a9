/** Event streams of `node:http` and `node:http2`, with clients that come and go in every way. */

import { Broadcast } from "@broadcaster/broadcaster";
import { eventStream, lastEventId, sendEventStream } from "@broadcaster/broadcaster/sse";
import assert from "node:assert/strict";
import { Agent, createServer, get } from "node:http";
import * as http2 from "node:http2";
import { connect } from "node:net";
import process from "node:process";

/** What takes longer has hung. */
const PATIENCE = 20_000;
const isBun = process.versions.bun !== undefined;

const codec = {
  name: "deep",
  encode: (text) => text,
  decode(payload) {
    if (payload !== "deep") return payload;
    let value = [];
    for (let depth = 0; depth < 50_000; depth++) value = [value];
    return { toJSON: undefined, value, bigint: 1n };
  },
};
const broadcast = new Broadcast("memory://", { codec });
/** Subscriptions of all requests. */
const subscriptions = [];
const warnings = [];
process.on("warning", (warning) => warnings.push(`${warning}`));

async function subscribe(options) {
  const subscription = await broadcast.subscribe("news", options);
  subscriptions.push(subscription);
  return subscription;
}

async function until(isTrue, what) {
  for (const end = Date.now() + PATIENCE; !await isTrue();) {
    if (Date.now() > end) throw new Error(`Not within ${PATIENCE} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Serves one case; resolves with what it returned, once every subscription of it has ended. */
async function serving(handler, use) {
  const failures = [];
  let answered = 0;
  const server = createServer((request, response) => {
    handler(request, response).catch((error) => failures.push(error)).then(() => answered++);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const count = await use(server.address().port);
    await until(() => answered >= count, `${count} handlers are done, ${answered} were`);
    await until(() => subscriptions.every(({ locked }) => !locked), "all subscriptions are closed");
    assert.deepEqual(failures, []);
    return subscriptions.splice(0).length;
  } finally {
    server.closeAllConnections?.();
    server.close();
  }
}

/** Sends requests on one connection. */
function ask(port, count = 1, method = "GET", headers = "") {
  const socket = connect(port, "127.0.0.1");
  const client = { socket, text: "" };
  socket.on("error", () => {});
  socket.on("data", (chunk) => client.text += chunk);
  socket.write(`${method} /news HTTP/1.1\r\nhost: localhost\r\n${headers}\r\n`.repeat(count));
  return client;
}

const live = (request, response) =>
  sendEventStream(
    response,
    (signal) => subscribe({ after: lastEventId(request), maxResume: 100, signal }),
    { headers: { "x-case": "1" } },
  );

const cases = {
  async "a client gets events, and resumes"() {
    const opened = await serving(live, async (port) => {
      const first = ask(port);
      await until(() => /id: \S+/.test(first.text), "the stream opens");
      assert.match(first.text, /^HTTP\/1.1 200 OK\r\n/);
      assert.match(first.text, /content-type: text\/event-stream/i);
      assert.match(first.text, /x-case: 1/i);
      await broadcast.publish("news", "one");
      await until(() => first.text.includes("data: one\n"), "one");
      const id = first.text.match(/id: (\S+)\ndata: one/)[1];
      first.socket.destroy();
      await broadcast.publish("news", "two");
      const second = ask(port, 1, "GET", `last-event-id: ${id}\r\n`);
      await until(() => second.text.includes("data: two\n"), "two");
      assert.equal(second.text.includes("data: one\n"), false);
      second.socket.destroy();
      return 2;
    });
    assert.equal(opened, 2);
  },
  async "a message without a frame is a gap, and the stream goes on"() {
    await serving(live, async (port) => {
      const client = ask(port);
      await until(() => /id: \S+/.test(client.text), "the stream opens");
      await broadcast.publish("news", "deep");
      await broadcast.publish("news", "behind it");
      await until(() => client.text.includes("data: behind it\n"), "behind it");
      assert.match(client.text, /event: gap\ndata: \{"cause":"unknown",.*"missed":1\}\n/);
      client.socket.destroy();
      return 1;
    });
  },
  async "50 pipelined requests whose client leaves keep no subscription"() {
    // Bun reads the next request of a connection once it has answered the one before.
    const count = isBun ? 1 : 50;
    const opened = await serving(live, async (port) => {
      const client = ask(port, count);
      await until(() => subscriptions.length === count, "all are subscribed");
      client.socket.destroy();
      return count;
    });
    assert.equal(opened, count);
  },
  async "HEAD subscribes to nothing"() {
    const opened = await serving(live, async (port) => {
      const client = ask(port, 1, "HEAD");
      await until(() => client.text.endsWith("\r\n\r\n"), "the head is sent");
      assert.match(client.text, /content-type: text\/event-stream/i);
      client.socket.destroy();
      return 1;
    });
    assert.equal(opened, 0);
  },
  async "HEAD closes a subscription that is there"() {
    const handler = async (_, response) => sendEventStream(response, await subscribe());
    const opened = await serving(handler, async (port) => {
      const client = ask(port, 1, "HEAD");
      await until(() => client.text.endsWith("\r\n\r\n"), "the head is sent");
      client.socket.destroy();
      return 1;
    });
    assert.equal(opened, 1);
  },
  async "a client that left while the handler waited subscribes to nothing"() {
    const handler = async (request, response) => {
      await until(() => request.socket.destroyed, "the client leaves");
      await live(request, response);
    };
    const opened = await serving(handler, async (port) => {
      const client = ask(port);
      await new Promise((resolve) => setTimeout(resolve, 50));
      client.socket.destroy();
      return 1;
    });
    assert.equal(opened, 0);
  },
  async "a subscription behind a filter that passes none is released"() {
    const filter = () => new TransformStream({ transform() {} });
    const handler = (_, response) =>
      sendEventStream(response, subscribe().then((events) => events.pipeThrough(filter())));
    await serving(handler, async (port) => {
      const client = ask(port);
      await until(() => client.text.includes("retry: "), "the stream opens");
      client.socket.destroy();
      return 1;
    });
  },
  async "a client that does not read holds no events, and is released"() {
    await serving(live, async (port) => {
      const client = ask(port);
      await until(() => /id: \S+/.test(client.text), "the stream opens");
      client.socket.pause();
      for (let count = 0; count < 200; count++) await broadcast.publish("news", "x".repeat(50_000));
      client.socket.destroy();
      return 1;
    });
  },
  async "what will never work rejects, and nothing was sent"() {
    const handler = async (_, response) => {
      const error = await sendEventStream(response, () => broadcast.subscribe("")).catch((e) => e);
      assert.equal(error.name, "TypeError");
      assert.equal(response.headersSent, false);
      response.writeHead(400).end();
    };
    await serving(handler, async (port) => {
      const client = ask(port);
      await until(() => client.text.startsWith("HTTP/1.1 400"), "the status");
      client.socket.destroy();
      return 1;
    });
  },
  async "a broker that is away is answered, and the stream ends"() {
    const error = Object.assign(new Error("away"), { name: "ConnectionError" });
    const handler = (_, response) => sendEventStream(response, () => Promise.reject(error));
    await serving(handler, async (port) => {
      const client = ask(port);
      await until(() => /retry: 1000\n\n[^]*0\r\n\r\n$/.test(client.text), "the stream ends");
      assert.match(client.text, /^HTTP\/1.1 200 OK\r\n/);
      client.socket.destroy();
      return 1;
    });
  },
  async "a server that closes ends, although its clients come back"() {
    const broadcast = new Broadcast("memory://");
    const server = createServer((_request, response) =>
      void sendEventStream(response, (signal) => broadcast.subscribe("news", { signal }))
    );
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const { port } = server.address();
    let closed = false;
    let answers = 0;
    const again = () => closed || setTimeout(join, 10);
    /** Asks again as soon as the stream has ended, as `EventSource` does. */
    const join = () => {
      const request = get({ port, host: "127.0.0.1", agent }, (response) => {
        answers++;
        response.on("end", again).resume();
      });
      request.on("error", again);
    };
    join();
    await until(() => answers === 1, "it is there");
    server.close(() => closed = true);
    await broadcast.disconnect();
    try {
      await until(() => closed, "the server is closed");
      assert.ok(answers <= 2, `${answers} were answered`);
    } finally {
      closed = true;
      server.closeAllConnections?.();
      agent.destroy();
    }
  },
  async "eleven event streams of one signal warn of nothing"() {
    const stop = new AbortController();
    const streams = [];
    for (let count = 0; count < 30; count++) {
      streams.push(eventStream(await subscribe({ signal: stop.signal }), { signal: stop.signal }));
    }
    stop.abort();
    for (const stream of streams) {
      const reader = stream.getReader();
      while (!(await reader.read().catch(() => ({ done: true }))).done);
    }
    subscriptions.splice(0);
    await new Promise((resolve) => setTimeout(resolve, 0));
    assert.deepEqual(warnings, []);
  },
};

if (!isBun) {
  cases["HTTP/2: a server that closes ends, although its clients come back"] = async () => {
    const broadcast = new Broadcast("memory://");
    const server = http2.createServer((_request, response) =>
      void sendEventStream(response, (signal) => broadcast.subscribe("news", { signal }))
    );
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    const client = http2.connect(`http://127.0.0.1:${server.address().port}`);
    let closed = false;
    let answers = 0;
    /** Asks again as soon as the stream has ended, as `EventSource` does. */
    const join = () => {
      if (client.closed || client.destroyed) return;
      const request = client.request({ ":path": "/news" });
      request.on("response", () => answers++).on("error", () => {});
      request.on("close", () => setTimeout(join, 10)).resume();
    };
    join();
    await until(() => answers === 1, "it is there");
    server.close(() => closed = true);
    await broadcast.disconnect();
    try {
      await until(() => closed, "the server is closed");
      assert.ok(answers <= 2, `${answers} were answered`);
      assert.deepEqual(warnings, []);
    } finally {
      client.destroy();
    }
  };

  cases["HTTP/2: events, and a client that leaves"] = async () => {
    const server = http2.createServer((request, response) => void live(request, response));
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    const client = http2.connect(`http://127.0.0.1:${server.address().port}`);
    const requests = [];
    for (let count = 0; count < 12; count++) requests.push(client.request({ ":path": "/news" }));
    let text = "";
    for (const request of requests) request.on("data", (chunk) => text += chunk);
    await until(() => subscriptions.length === 12, "all are subscribed");
    await until(() => text.match(/id: /g)?.length === 12, "all are open");
    await broadcast.publish("news", "hello");
    await until(() => text.match(/data: hello\n/g)?.length === 12, "all got it");
    for (const request of requests.splice(0, 6)) request.close();
    await until(() => subscriptions.filter(({ locked }) => !locked).length === 6, "six are closed");
    client.destroy();
    await until(() => subscriptions.every(({ locked }) => !locked), "all are closed");
    server.close();
    assert.deepEqual(warnings, []);
  };
}

for (const [name, body] of Object.entries(cases)) {
  try {
    await body();
    process.stdout.write(`ok ${name}\n`);
  } catch (error) {
    process.stdout.write(`FAILED ${name}: ${error.stack}\n`);
    process.exitCode = 1;
    subscriptions.splice(0);
  }
}
await broadcast.disconnect();
