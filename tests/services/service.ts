import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { Server } from "./server.ts";

/** Where a service was found, or why the tests that need it are skipped. */
export type Located = Found | { skip: string };

/** A service that answers. */
export interface Found {
  /** The URL of a broker; the path of a browser. */
  url: string;
  /** How it came to run, when it was started for this run. */
  started?: string;
  /** Ends what was started for this run, and nothing else. */
  stop(): Promise<void>;
}

/** How a broker is looked for. */
export interface Search {
  /** The name of the variable that settles the matter. */
  variable: string;
  /** The URL at the usual local address, if a broker answers there. */
  usual(): Promise<string | undefined>;
  /** Starts one for this run. */
  start(): Promise<Server>;
  /** What it is called when it was started, as in "started 3.9.1 on port 9092". */
  version?: string;
}

/** Finds a broker: the one that the variable names, the usual one, or one started for this run. */
export async function find(search: Search): Promise<Located> {
  const url = Deno.env.get(search.variable) ?? await search.usual();
  if (url) return { url, stop: () => Promise.resolve() };
  try {
    const server = await search.start();
    return {
      url: server.url,
      started: ["started", search.version, "on port", server.port].filter(Boolean).join(" "),
      stop: () => server[Symbol.asyncDispose](),
    };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { skip: `${reason}, or set ${search.variable}` };
  }
}

/**
 * Sends a request to a TCP port and tells whether the reply is the one wanted.
 *
 * An open port proves little: a broker that is starting accepts connections long before it serves
 * them.
 */
export function ask(
  port: number,
  request: Uint8Array | string,
  isAnswer: (reply: Uint8Array) => boolean,
): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect(port, "127.0.0.1", () => socket.write(request));
  let reply = new Uint8Array();
  let answered = false;
  socket.on("data", (chunk: Uint8Array) => {
    reply = new Uint8Array([...reply, ...chunk]);
    answered = isAnswer(reply);
    if (answered) socket.destroy();
  });
  socket.setTimeout(1_000, () => socket.destroy());
  socket.on("error", () => socket.destroy());
  socket.on("end", () => socket.destroy());
  socket.on("close", () => resolve(answered));
  return promise;
}

/** Asks again until the answer is yes. */
export async function until(
  isReady: () => boolean | Promise<boolean>,
  expectation: string,
  timeout = 30_000,
): Promise<void> {
  const end = performance.now() + timeout;
  while (!await isReady()) {
    if (performance.now() > end) throw new Error(`${expectation}: not within ${timeout} ms`);
    await pause(20);
  }
}

/**
 * A TCP port that nobody listens on, and that no test of this run was given before: who is given
 * one may listen there only later, and test files run at the same time.
 *
 * It lies below the range that systems take ports for outgoing connections from: a client that
 * tries to reach a stopped broker again and again could else be given the broker's own port.
 */
export function freePort(): number {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    if (!claim(port)) continue;
    try {
      Deno.listen({ hostname: "127.0.0.1", port }).close();
      return port;
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    }
  }
}

/** Whether nobody has claimed a port before: the first to make a file of its name has it. */
function claim(port: number): boolean {
  const folder = Deno.env.get("BROADCASTER_PORTS") ??
    join(Deno.env.get("TMPDIR") ?? "/tmp", `broadcaster-ports-${Deno.pid}`);
  Deno.mkdirSync(folder, { recursive: true });
  try {
    Deno.openSync(join(folder, `${port}`), { createNew: true, write: true }).close();
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) return false;
    throw error;
  }
}
