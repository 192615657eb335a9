// What the examples share: a server on localhost, for its own pages, within limits
// deno-lint-ignore-file no-console

import process from "node:process";
import { parseArgs } from "node:util";

/** What a browser is served. */
export interface Service {
  /** File name of the page at `/`. */
  readonly page: string;
  /** Answers all other requests. */
  readonly answer: (request: Request, path: string) => Response | Promise<Response>;
  /** Ends all streams, before the server ends. */
  readonly stop: () => Promise<void>;
}

/** A broadcast, whatever its messages are. */
interface Log {
  history(channel: string, options: { limit: number }): Promise<unknown>;
}

/** Requests that are answered at a time, event streams and sockets included. */
const MOST_OPEN = 1_000;

/** Hosts that are this machine; a page of any other site has another. */
const LOCAL = ["localhost", "127.0.0.1", "::1", "[::1]"];

/**
 * Runs an example: `deno run -A examples/… [url] [--port 8000] [--hostname 127.0.0.1]`. Ends the
 * process with a line of text if it cannot start.
 *
 * @param title Shown with the address of the page.
 * @param open Opens the broker at a URL. Its second argument is the URL as it can be shown.
 */
export async function run(
  title: string,
  open: (url: string, shown: string) => Promise<Service>,
): Promise<void> {
  try {
    const options = {
      port: { type: "string" },
      hostname: { type: "string", default: "127.0.0.1" },
    } as const;
    const { values: { port, hostname }, positionals } = parseArgs({
      options,
      allowPositionals: true,
    });
    const url = positionals[0] ?? Deno.env.get("BROADCASTER_URL") ?? "memory://";
    const broker = url.replace(/\/\/.*@/, "//").replace(/\?.*/, "");
    const service = await open(url, broker);
    const files = new Map([
      ["/", await fileOf(service.page, "text/html")],
      ["/style.css", await fileOf("style.css", "text/css")],
    ]);
    const isLocal = LOCAL.includes(hostname);
    const answer = handlerOf(service, files, isLocal);
    const server = listen(hostname, port, answer);
    const { port: own } = server.addr;
    console.log(`${title} on http://${shown(hostname)}:${own} over ${broker}`);

    const stop = async () => {
      await service.stop();
      await server.shutdown();
    };
    process.once("SIGINT", stop);
    process.once("SIGTERM", stop);
  } catch (error) {
    console.error((error as Error).message);
    Deno.exit(1);
  }
}

/** A file of this folder, and its type. */
interface File {
  readonly text: string;
  readonly headers: Record<string, string>;
}

async function fileOf(name: string, type: string): Promise<File> {
  const text = await Deno.readTextFile(new URL(name, import.meta.url));
  return { text, headers: { "content-type": `${type}; charset=utf-8` } };
}

function handlerOf(
  { answer }: Service,
  files: ReadonlyMap<string, File>,
  isLocal: boolean,
): Deno.ServeHandler {
  let isOpen = 0;
  return async (request, { completed }) => {
    const { pathname } = new URL(request.url);
    if (!isOwn(request, isLocal)) return new Response("Forbidden", { status: 403 });
    const file = files.get(pathname);
    if (file) return new Response(file.text, { headers: file.headers });
    if (isOpen >= MOST_OPEN) return later(request);
    isOpen++;
    const done = () => isOpen--;
    completed.then(done, done);
    try {
      return await answer(request, pathname);
    } catch (error) {
      console.error((error as Error).message);
      return new Response("Cannot answer", { status: 500 });
    }
  };
}

/**
 * The host of an address that a browser can open. A server on all IPv4 addresses is meant for other
 * devices, so that of this machine is shown.
 */
function shown(hostname: string): string {
  const host = hostname.replace(/^\[|\]$/g, "");
  if (["localhost", "127.0.0.1", "::"].includes(host)) return "localhost";
  if (host !== "0.0.0.0") return host.includes(":") ? `[${host}]` : host;
  const own = Deno.networkInterfaces().find(({ family, address }) =>
    family === "IPv4" && !address.startsWith("127.")
  );
  return own?.address ?? "localhost";
}

/** Reads a body as text; undefined if it is too long. */
export async function read(request: Request, most: number): Promise<string | undefined> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of request.body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length > most) return undefined;
  }
  return text;
}

/** Whether the broker keeps the events of a channel. Without a log, pages start with none. */
export async function hasLog(broadcast: Log, channel: string): Promise<boolean> {
  try {
    await broadcast.history(channel, { limit: 1 });
    return true;
  } catch (error) {
    if (error instanceof TypeError) return false;
    throw error;
  }
}

/** Asks a client to come back. An error status would make an `EventSource` give up. */
export function later(request: Request): Response {
  return request.headers.get("accept") === "text/event-stream"
    ? new Response("retry: 10000\n\n", { headers: { "content-type": "text/event-stream" } })
    : new Response("Try again later", { status: 503 });
}

/**
 * Whether a request comes from a page of this server, or from no page. The pages of other sites can
 * send requests to localhost, too. Their `Origin` shows them, or the name that they gave this machine.
 */
function isOwn({ headers }: Request, isLocal: boolean): boolean {
  const host = headers.get("host") ?? "";
  const origin = headers.get("origin");
  if (isLocal && !LOCAL.includes(host.replace(/:\d+$/, ""))) return false;
  return origin === null || origin.replace(/^https?:\/\//, "") === host;
}

/** Listens on the given port; otherwise on 8000 or the next free one. */
function listen(hostname: string, given: string | undefined, handler: Deno.ServeHandler) {
  for (let port = Number(given ?? 8_000);; port++) {
    try {
      return Deno.serve({ hostname, port, onListen() {} }, handler);
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
      if (given === undefined && port < 8_099) continue;
      throw new Error(
        `Cannot listen on ${hostname}:${port}: the port is in use, choose another with --port`,
      );
    }
  }
}
