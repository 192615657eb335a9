/**
 * The client of event streams and WebSockets, the same for all servers: many sockets, on which it
 * counts messages.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { spawn } from "node:child_process";
import { connect as connectTo } from "node:net";
import { createInterface } from "node:readline";
import { pause, ready, timed } from "./pace.mjs";
import { Tally } from "./tally.mjs";

/** What stands once in each message, and nowhere else. */
const SIGN = "|".charCodeAt(0);
/** More at a time would overflow the queue of a server that is not ready to accept. */
const BATCH = 100;
/** Connections that stand before memory is weighed: what the first ones load is not theirs. */
const FIRST = 50;

/** What opens a WebSocket. */
const UPGRADE = "host: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n" +
  "sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
/** What is asked for, the status of the answer, and what is sent after it. */
const HANDSHAKES = {
  "event stream": {
    request: "GET / HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n",
    status: "HTTP/1.1 200",
  },
  "WebSocket": { request: `GET / HTTP/1.1\r\n${UPGRADE}`, status: "HTTP/1.1 101" },
  "Socket.IO": {
    request: `GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n${UPGRADE}`,
    status: "HTTP/1.1 101",
    // A text frame with the packet `40`, which connects to the namespace.
    then: Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x34, 0x30]),
  },
};

/** Starts a server, and the connections to it. */
export async function open(contender, { server, connections, memory, sockets }) {
  const kind = contender === "Socket.IO" ? contender : sockets ? "WebSocket" : "event stream";
  const shake = HANDSHAKES[kind];
  if (memory) return { race: () => weigh(server, connections, shake) };
  return await start(server, connections, shake);
}

async function start(command, connections, shake) {
  const { tally, publish, connect, stop } = await serve(command, connections, shake);
  await connect(0, connections);
  await ready({ publish: () => publish(1), tally });
  return {
    race: async ({ size, milliseconds, least = 0 }) =>
      connections * await timed(tally, async (start) => {
        let sent = 0;
        for (; sent < least || performance.now() - start < milliseconds; sent += size) {
          tally.owe(size);
          publish(size);
          await tally.settle();
        }
        return sent;
      }),
    close: stop,
  };
}

/** How many bytes the server's process grows by with each connection. */
async function weigh(command, connections, shake) {
  const { tally, publish, ask, connect, stop } = await serve(command, FIRST + connections, shake);
  await connect(0, FIRST);
  publish(10);
  await pause(500);
  const before = Number(await ask("memory"));
  await connect(FIRST, connections);
  await ready({ publish: () => publish(1), tally });
  const after = Number(await ask("memory"));
  stop();
  return (after - before) / connections;
}

async function serve([command, ...args], connections, shake) {
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const { done, value: port } = await lines.next();
  if (done) throw new Error(`Cannot start ${command}: it ended`);
  const tally = new Tally(connections);
  // Sockets are read one after the other, so that they can share what they are read into.
  const buffer = Buffer.allocUnsafe(64 * 1024);
  const sockets = [];
  return {
    tally,
    publish: (messages) => void child.stdin.write(`${messages}\n`),
    async ask(question) {
      child.stdin.write(`${question}\n`);
      return (await lines.next()).value;
    },
    async connect(from, count) {
      for (let next = from; next < from + count; next += BATCH) {
        const size = Math.min(BATCH, from + count - next);
        sockets.push(
          ...await Promise.all(
            Array.from({ length: size }, (_, index) => follow(Number(port), next + index)),
          ),
        );
      }
    },
    stop() {
      for (const socket of sockets) socket.destroy();
      child.kill();
    },
  };

  /** Asks for the stream, and counts what comes. */
  function follow(port, reader) {
    return new Promise((resolve, reject) => {
      let status = "";
      const onread = {
        buffer,
        callback(size) {
          if (status.length < 12) {
            status += buffer.latin1Slice(0, Math.min(size, 12));
            if (status.startsWith(shake.status)) {
              if (shake.then) socket.write(shake.then);
              resolve(socket);
            } else if (status.length >= 12) reject(new Error(`Cannot follow a stream: ${status}`));
          }
          let signs = 0;
          for (let at = 0; at < size; at++) if (buffer[at] === SIGN) signs++;
          if (signs > 0) tally.addMany(reader, signs);
          return true;
        },
      };
      const socket = connectTo({ host: "127.0.0.1", port, onread });
      socket.on("error", reject);
      socket.write(shake.request);
    });
  }
}
