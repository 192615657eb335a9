// deno run -A examples/chat.ts [url] [--port 8000], with redis://localhost:6379 for example

import {
  Broadcast,
  type BroadcastEvent,
  type Codec,
  ConnectionError,
  OutcomeUnknownError,
  text,
} from "@broadcaster/broadcaster";
import { sendTo } from "@broadcaster/broadcaster/websocket";
import { hasLog, later, run } from "./server.ts";

const KINDS = ["message", "join", "here", "missed", "leave"] as const;

/** Channel of the messages. */
const TALK = "chatroom";
/** Channel of the presence of pages. Separate, since presence is of no use as history. */
const PRESENCE = "chatroom-presence";
/** Number of recent messages that a page starts with. */
const PAST = 100;
/** Number of messages that a page gets at most when it comes back. */
const MOST_MISSED = 1_000;
/** Number of messages of a page that wait for the broker at a time. */
const MOST_SENDING = 100;
/** Number of characters of a frame that a page sends. */
const LONGEST = 20_000;
/** Number of pages at a time. */
const MOST_VISITS = 1_000;

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

/** What pages get of an event; those of messages have an id to resume after. */
function map({ channel, id, message }: BroadcastEvent<Entry>): string {
  return JSON.stringify(channel === TALK ? { ...message, event: id } : message);
}

type Room = Broadcast<Record<string, Entry>>;

/** Functions that end the visit of each connected page. */
const visits = new Set<(code: number) => void>();

/** What pages are told first: how many past messages there are at most, and on which broker. */
interface Welcome {
  history: number;
  address: string;
}

/** Serves one page and its subscriptions, until either ends. */
function visit(broadcast: Room, { history, address }: Welcome, request: Request): Response {
  const { socket, response } = Deno.upgradeWebSocket(request);
  const left = new AbortController();
  let guest: Entry | undefined;
  let sending = 0;

  function tell(frame: object): void {
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(frame));
  }

  async function publish(entry: Entry): Promise<void> {
    sending++;
    try {
      await broadcast.publish(entry.kind === "message" ? TALK : PRESENCE, entry);
    } catch (error) {
      const { message: reason } = error as Error;
      // Pages identify an entry by its id, so an entry that was published after all is shown once.
      const again = error instanceof ConnectionError || error instanceof OutcomeUnknownError;
      tell({ kind: "failed", id: entry.id, reason, again });
    } finally {
      sending--;
    }
  }

  async function listen(): Promise<void> {
    const { signal } = left;
    const present = await broadcast.subscribe(PRESENCE, { signal });
    const talk = await broadcast.subscribe(TALK, {
      history,
      after: new URL(request.url).searchParams.get("after") || undefined,
      maxResume: MOST_MISSED,
      onGap: ({ missed }) => tell({ kind: "gap", missed }),
      signal,
    });
    tell({ kind: "ready", history, address });
    // A page that does not keep up is disconnected; it reconnects and resumes.
    await Promise.race([present, talk].map((events) => sendTo(socket, events, { map }).ended));
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
    if (typeof data !== "string" || data.length > LONGEST) return end(1009);
    if (sending >= MOST_SENDING) return end(1013);
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

await run("Chat", async (url, address) => {
  const broadcast = new Broadcast(url, { codec });
  await broadcast.connect();
  const history = await hasLog(broadcast, TALK) ? PAST : 0;
  return {
    page: "chat.html",
    async stop() {
      for (const end of visits) end(1012);
      await broadcast.disconnect();
    },
    answer(request, path) {
      const isSocket = path === "/chat" && request.headers.get("upgrade") === "websocket";
      if (!isSocket) return new Response("Not found", { status: 404 });
      return visits.size < MOST_VISITS
        ? visit(broadcast, { history, address }, request)
        : later(request);
    },
  };
});
