// deno run -A examples/chat.ts [url] [--port 8000], for example with redis://localhost:6379
// deno-lint-ignore-file no-console

import { Broadcast, type Codec, ConnectionError, text } from "@broadcaster/broadcaster";
import process from "node:process";
import { parseArgs } from "node:util";

/** What travels on the channel, as JSON. */
interface Entry {
  kind: "message" | "join" | "here" | "leave";
  /** Of this entry: a page that sees it twice shows it once. */
  id: string;
  /** Of the page that it is from. */
  from: string;
  name: string;
  text: string;
  at: number;
}

/** JSON of ours, or plain text of anyone else on the channel. What is neither is skipped. */
const codec: Codec<Entry> = {
  name: "chat",
  encode: (entry) => JSON.stringify(entry),
  decode(payload) {
    const said = text().decode(payload);
    if (said.startsWith("{")) return check(JSON.parse(said));
    return check({ kind: "message", id: "", from: "", name: "someone", text: said.slice(0, 2_000) });
  },
};

function check(value: unknown): Entry {
  const { kind, id, from, name, text = "", at = Date.now() } = Object(value);
  const fits = (value: unknown, limit: number) => typeof value === "string" && value.length <= limit;
  const valid = ["message", "join", "here", "leave"].includes(kind) && fits(id, 40) &&
    fits(from, 40) && fits(name, 40) && name.trim() && fits(text, 2_000) &&
    (kind !== "message" || text.trim()) && Math.abs(at) <= 8.64e15;
  if (!valid) throw new TypeError("This is not a chat message, or it is too long");
  return { kind, id, from, name, text, at };
}

/** Says goodbye to every page. */
const guests = new Set<(code: number) => void>();

/** One page: its own subscription, until either side leaves. */
function join(broadcast: Broadcast<Record<string, Entry>>, request: Request): Response {
  const { socket, response } = Deno.upgradeWebSocket(request);
  const gone = new AbortController();
  let guest: Entry | undefined;

  function tell(frame: object): void {
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(frame));
  }

  function leave(code = 1000): void {
    if (!guests.delete(leave)) return;
    gone.abort();
    socket.close(code);
    if (guest) publish({ ...guest, kind: "leave", text: "", at: Date.now() });
  }

  async function publish(entry: Entry): Promise<void> {
    try {
      await broadcast.publish("chatroom", entry);
    } catch (error) {
      const { message: reason } = error as Error;
      tell({ kind: "failed", id: entry.id, reason, again: error instanceof ConnectionError });
    }
  }

  async function listen(): Promise<void> {
    const after = new URL(request.url).searchParams.get("after") || undefined;
    const subscription = await broadcast.subscribe("chatroom", {
      after,
      foreign: "gap",
      onGap: ({ missed }) => tell({ kind: "gap", missed }),
      signal: gone.signal,
    });
    tell({ kind: "ready" });
    for await (const { id, message } of subscription) {
      tell({ ...message, event: id });
      // A page that does not read goes, and resumes when it reads again.
      if (socket.bufferedAmount > 1_000_000) break;
    }
  }

  socket.onopen = () => {
    guests.add(leave);
    const tellState = () => tell({ kind: "state", state: broadcast.state });
    broadcast.addEventListener("statechange", tellState, { signal: gone.signal });
    tellState();
    listen().catch(() => {}).then(() => leave(1013));
  };
  socket.onmessage = ({ data }) => {
    try {
      const entry = check(JSON.parse(data));
      guest = { ...entry, from: guest?.from ?? entry.from };
      publish({ ...guest, at: Date.now() });
    } catch (error) {
      tell({ kind: "failed", reason: (error as Error).message });
    }
  };
  socket.onclose = () => leave();
  return response;
}

async function main(): Promise<void> {
  const options = { port: { type: "string" } } as const;
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  const url = positionals[0] ?? Deno.env.get("BROADCASTER_URL") ?? "memory://";
  const broadcast = new Broadcast(url, { codec });
  await broadcast.connect();

  const page = await Deno.readTextFile(new URL("chat.html", import.meta.url));
  const server = serve(values.port, (request) => {
    const { pathname } = new URL(request.url);
    if (pathname === "/") return new Response(page, { headers: { "content-type": "text/html" } });
    if (pathname !== "/chat") return new Response("Not found", { status: 404 });
    if (request.headers.get("upgrade") === "websocket") return join(broadcast, request);
    return new Response("Here is a WebSocket", { status: 426, headers: { upgrade: "websocket" } });
  });
  const broker = url.replace(/\/\/.*@/, "//").replace(/\?.*/, "");
  console.log(`Chat on http://localhost:${server.addr.port} over ${broker}`);

  const stop = async () => {
    for (const leave of guests) leave(1012);
    await broadcast.disconnect();
    await server.shutdown();
  };
  process.once("SIGINT", stop);
  process.once("SIGTERM", stop);
}

/** On this port; without one on 8000, or the next that is free. */
function serve(port: string | undefined, handler: (request: Request) => Response) {
  for (let next = 8_000;; next++) {
    try {
      return Deno.serve({ port: Number(port ?? next), onListen() {} }, handler);
    } catch (error) {
      if (port || next === 8_099 || !(error instanceof Deno.errors.AddrInUse)) throw error;
    }
  }
}

main().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
