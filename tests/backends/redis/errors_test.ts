/** What each error reply of Redis and Valkey, and each event of ioredis, means. */

import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { assert, assertEquals } from "@std/assert";
import "ioredis";
import {
  type Meaning,
  meaningOf,
  MEANINGS,
  openingError,
  redirectionOf,
  replyError,
} from "../../../backends/redis/errors.ts";
import { RefusedError, TemporaryError, UnknownReplyError } from "../../../core/backend/errors.ts";
import { provide } from "../../services/debian.ts";

/**
 * The error replies in the sources of Redis 8.0 and Valkey 9.0 (`addReplyError`, `shared.*err`,
 * `luaPushError`, Sentinel), by their first words. `REDIRECT` is Valkey's.
 */
const REPLIES: Readonly<Record<string, Meaning>> = {
  "ASK 866 127.0.0.1:7001": "moved",
  "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.": "later",
  "BUSYGROUP Consumer Group name already exists": "refused",
  "BUSYKEY Target key name already exists.": "refused",
  "CLUSTERDOWN The cluster is down": "later",
  "CLUSTERDOWN Hash slot not served": "later",
  "CROSSSLOT Keys in request don't hash to the same slot": "refused",
  "DENIED Redis is running in protected mode because protected mode is enabled": "refused",
  "ERR unknown command 'XADD', with args beginning with: 'a'": "refused",
  "ERR DB index is out of range": "refused",
  "ERR max number of clients reached": "later",
  "ERR max number of clients + cluster connections reached": "later",
  "EXECABORT Transaction discarded because of previous errors.": "refused",
  "INPROG Failover already in progress": "later",
  "INVALIDOBJ Client tried to set an invalid object": "refused",
  "IOERR error or timeout connecting to the client": "later",
  "LOADING Redis is loading the dataset in memory": "later",
  "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.": "later",
  "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to": "later",
  "MOVED 866 127.0.0.1:7001": "moved",
  "NOAUTH Authentication required.": "renewed",
  "NOGOODSLAVE No suitable replica to promote": "later",
  "NOGROUP No such key 'a' or consumer group 'b'": "refused",
  "NOMASTERLINK Can't SYNC while not connected with my master": "later",
  "NOPERM this user has no permissions to run the 'xadd' command": "refused",
  "NOPROTO unsupported protocol version": "refused",
  "NOQUORUM Not enough available Sentinels to reach the specified quorum": "later",
  "NOREPLICAS Not enough good replicas to write.": "later",
  "NOSCRIPT No matching script. Please use EVAL.": "refused",
  "NOSUB 'get' command executed not in subscribed mode": "refused",
  "NOTBUSY No scripts in execution right now.": "refused",
  "OOM command not allowed when used memory > 'maxmemory'.": "later",
  "READONLY You can't write against a read only replica.": "renewed",
  "REDIRECT 127.0.0.1:7001": "moved",
  "TRYAGAIN Multiple keys request during rehashing of slot": "moved",
  "UNBLOCKED force unblock from blocking operation, instance state changed": "renewed",
  "UNKILLABLE Sorry the script already executed write commands": "refused",
  "WRONGPASS invalid username-password pair or user is disabled.": "refused",
  "WRONGTYPE Operation against a key holding the wrong kind of value": "refused",
  // As scripts have it before Redis 7.
  "ERR Error running script (call to f_1): @user_script:4: @user_script: 4: -OOM command not allowed":
    "later",
};

const CLASSES = {
  refused: RefusedError,
  later: TemporaryError,
  renewed: TemporaryError,
  moved: TemporaryError,
} as const;

/** Every event that ioredis 6 emits, and what becomes of it in `link.ts` and `subscriber.ts`. */
const EVENTS: Readonly<Record<string, string>> = {
  wait: "lazy connecting: every client begins with it",
  connecting: "nothing: `connect()` settles",
  connect: "the socket gets a second listener to its errors",
  ready: "nothing: `connect()` resolves",
  error: "the connection is cut, and this is the reason",
  close: "nothing: `end` follows, since no client reconnects",
  end: "the connection is lost",
  reconnecting: "never: no client reconnects",
  select: "nothing: the database is chosen once",
  moved: "subscriptions that the server has ended are lost",
  message: "nobody listens: it is `messageBuffer` as text",
  pmessage: "nobody listens: it is `pmessageBuffer` as text",
  smessage: "nobody listens: it is `smessageBuffer` as text",
  messageBuffer: "a record",
  pmessageBuffer: "a record",
  smessageBuffer: "a record",
  monitor: "never: MONITOR is not sent",
  monitoring: "never: MONITOR is not sent",
};

for (const [reply, meaning] of Object.entries(REPLIES)) {
  Deno.test(`redis: "${reply.slice(0, 40)}" is ${meaning}`, () => {
    assertEquals(meaningOf(new Error(reply)), meaning);
    const error = replyError(new Error(reply));
    assertEquals(error.constructor, CLASSES[meaning]);
    // Some have what to do about them after it.
    assert(error.message.startsWith(reply.replace(/\.$/, "")), error.message);
    const isLater = meaning === "later";
    assertEquals(openingError(new Error(reply)) instanceof TemporaryError, isLater);
  });
}

Deno.test("redis: the table has every reply of the servers' sources, and no other", () => {
  const codes = Object.keys(REPLIES).map((reply) => reply.split(" ")[0]!);
  assertEquals(Object.keys(MEANINGS).sort(), [...new Set(codes)].sort());
});

Deno.test("redis: the table has every reply that the program of a server contains", async () => {
  const program = await provide("redis-server", "redis-server");
  const text = new TextDecoder("latin1").decode(await Deno.readFile(program));
  const found = new Set([...text.matchAll(/\0-([A-Z]{3,}) [A-Za-z%']/g)].map(([, code]) => code!));
  assert(found.size > 20, `${found.size} found`);
  assertEquals([...found].filter((code) => !Object.hasOwn(MEANINGS, code)), []);
});

Deno.test("redis: an unknown reply is unknown, whatever its words", () => {
  for (const reply of ["NEWCODE what this is, nobody knows", "", "toString"]) {
    assertEquals(meaningOf(new Error(reply)), undefined);
    assert(replyError(new Error(reply)) instanceof UnknownReplyError);
    assert(openingError(new Error(reply)) instanceof RefusedError);
  }
});

Deno.test("redis: a redirection is found in the error of its meaning, and nowhere else", () => {
  const moved = { kind: "MOVED", slot: 7, hostname: "127.0.0.1", port: 7001 };
  assertEquals(redirectionOf(replyError(new Error("MOVED 7 127.0.0.1:7001"))), moved);
  for (const other of [new Error("ERR"), undefined, null, "text"]) {
    assertEquals(redirectionOf(other), undefined);
  }
});

Deno.test("redis: every event of ioredis has a meaning", async () => {
  const folder = dirname(fileURLToPath(import.meta.resolve("ioredis")));
  const events = new Set<string>();
  for (const file of ["Redis.js", "DataHandler.js", "redis/event_handler.js"]) {
    const source = await Deno.readTextFile(join(folder, file));
    for (const [, event] of source.matchAll(/(?:emit|silentEmit|setStatus)\("(\w+)"/gi)) {
      events.add(event!);
    }
  }
  assert(events.size > 10, [...events].join(" "));
  assertEquals([...events].sort(), Object.keys(EVENTS).sort());
});
