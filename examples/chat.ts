// deno run -A examples/chat.ts [url] [--port 8000], with redis://localhost:6379 for example
// deno-lint-ignore-file no-console

import process from "node:process";
import { parseArgs } from "node:util";
import {
  Broadcast,
  type Codec,
  ConnectionError,
  OutcomeUnknownError,
  type Subscription,
  text,
} from "@broadcaster/broadcaster";

const KINDS = ["message", "join", "here", "missed", "leave"] as const;

/** Channel of the messages. */
const TALK = "chatroom";
/** Channel of the presence of pages. Separate, since presence is of no use as history. */
const PRESENCE = "chatroom-presence";
/** Number of recent messages that a page starts with. */
const PAST = 100;

/** Message of the channels. `id` identifies the entry, `from` the page that sent it. */
interface Entry {
  kind: typeof KINDS[number];
  id: string;
  from: string;
  name: string;
  text: string;
  at: number;
}

/** Decodes entries as JSON, and plain text from other programs. Other payloads are skipped. */
const codec: Codec<Entry> = {
  name: "chat",
  encode: (entry) => JSON.stringify(entry),
  decode(payload) {
    const said = text().decode(payload);
    if (said.startsWith("{")) return check(JSON.parse(said));
    const someone = { kind: "message", id: "", from: "", name: "someone" };
    return check({ ...someone, text: said.slice(0, 2_000) });
  },
};

function check(value: unknown): Entry {
  const { kind, id, from, name, text = "", at = Date.now() } = Object(value);
  const fits = (text: unknown, limit: number) => typeof text === "string" && text.length <= limit;
  const isEntry = KINDS.includes(kind) &&
    Number.isInteger(at) && Math.abs(at) < 8e15 &&
    fits(id, 40) && fits(from, 40) && fits(name, 40) && fits(text, 2_000);
  if (!isEntry || !name.trim() || (kind === "message" && !text.trim())) {
    throw new TypeError("This is not a chat entry, or it is too long");
  }
  return { kind, id, from, name, text, at };
}

type Room = Broadcast<Record<string, Entry>>;

/** Functions that end the visit of each connected page. */
const visits = new Set<(code: number) => void>();

/** Serves one page and its subscriptions, until either ends. */
function visit(broadcast: Room, history: number, request: Request): Response {
  const { socket, response } = Deno.upgradeWebSocket(request);
  const left = new AbortController();
  let guest: Entry | undefined;

  function tell(frame: object): void {
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(frame));
  }

  async function publish(entry: Entry): Promise<void> {
    try {
      await broadcast.publish(entry.kind === "message" ? TALK : PRESENCE, entry);
    } catch (error) {
      const { message: reason } = error as Error;
      // Pages identify an entry by its id, so an entry that was published after all is shown once.
      const again = error instanceof ConnectionError || error instanceof OutcomeUnknownError;
      tell({ kind: "failed", id: entry.id, reason, again });
    }
  }

  async function listen(): Promise<void> {
    const { signal } = left;
    const present = await broadcast.subscribe(PRESENCE, { signal });
    const talk = await broadcast.subscribe(TALK, {
      history,
      after: new URL(request.url).searchParams.get("after") || undefined,
      onGap: ({ missed }) => tell({ kind: "gap", missed }),
      signal,
    });
    tell({ kind: "ready", history });
    await Promise.race([relay(present), relay(talk)]);
  }

  async function relay(subscription: Subscription<Entry>): Promise<void> {
    for await (const { channel, id, message } of subscription) {
      tell(channel === TALK ? { ...message, event: id } : message);
      // A page that does not keep up is disconnected; it reconnects and resumes.
      if (socket.bufferedAmount > 1_000_000) break;
    }
  }

  function end(code = 1000): void {
    if (!visits.delete(end)) return;
    left.abort();
    socket.close(code);
    if (guest) publish({ ...guest, kind: "leave", text: "", at: Date.now() });
  }

  socket.onopen = () => {
    visits.add(end);
    const tellState = () => tell({ kind: "state", state: broadcast.state });
    broadcast.addEventListener("statechange", tellState, { signal: left.signal });
    tellState();
    listen().catch(() => {}).then(() => end(1013));
  };
  socket.onmessage = ({ data }) => {
    try {
      const entry = check(JSON.parse(data));
      guest = { ...entry, from: guest?.from ?? entry.from };
      publish(guest);
    } catch {
      end(1008);
    }
  };
  socket.onclose = () => end();
  return response;
}

/** Number of recent messages to start with: 0 if the broker has no log. */
async function countPast(broadcast: Room): Promise<number> {
  try {
    await broadcast.history(TALK, { limit: 1 });
    return PAST;
  } catch (error) {
    if (error instanceof TypeError) return 0;
    throw error;
  }
}

/** Serves on the given port; otherwise on 8000 or the next free port. */
function serve(port: string | undefined, handler: (request: Request) => Response) {
  for (let next = 8_000;; next++) {
    try {
      return Deno.serve({ port: Number(port ?? next), onListen() {} }, handler);
    } catch (error) {
      if (port || next === 8_099 || !(error instanceof Deno.errors.AddrInUse)) throw error;
    }
  }
}

try {
  const options = { port: { type: "string" } } as const;
  const { values: { port }, positionals } = parseArgs({ options, allowPositionals: true });
  const url = positionals[0] ?? Deno.env.get("BROADCASTER_URL") ?? "memory://";
  const broadcast = new Broadcast(url, { codec });
  await broadcast.connect();
  const history = await countPast(broadcast);

  const page = await Deno.readTextFile(new URL("chat.html", import.meta.url));
  const server = serve(port, (request) => {
    const { pathname } = new URL(request.url);
    if (pathname === "/") return new Response(page, { headers: { "content-type": "text/html" } });
    const isSocket = pathname === "/chat" && request.headers.get("upgrade") === "websocket";
    return isSocket
      ? visit(broadcast, history, request)
      : new Response("Not found", { status: 404 });
  });
  const broker = url.replace(/\/\/.*@/, "//").replace(/\?.*/, "");
  console.log(`Chat on http://localhost:${server.addr.port} over ${broker}`);

  const stop = async () => {
    for (const end of visits) end(1012);
    await broadcast.disconnect();
    await server.shutdown();
  };
  process.once("SIGINT", stop);
  process.once("SIGTERM", stop);
} catch (error) {
  console.error((error as Error).message);
  Deno.exit(1);
}
