/** The table of answers: all that the protocol, JetStream and the client can say is in it. */

import * as jetstream from "@nats-io/jetstream";
import * as transport from "@nats-io/transport-node";
import { assert, assertEquals } from "@std/assert";
import {
  CLIENT_ERRORS,
  CLIENT_EVENTS,
  explain,
  meaningOf,
  meaningOfApi,
  meaningOfText,
  publishError,
} from "../../../backends/nats/errors.ts";
import { ConnectionError, RefusedError } from "../../../mod.ts";
import { TemporaryError, UnknownReplyError } from "../../../core/backend/errors.ts";

/** The texts of `-ERR`, as the protocol's documentation and the server's sources have them. */
const TEXTS: Readonly<Record<string, string>> = {
  "Unknown Protocol Operation": "lost",
  "Parser Error": "lost",
  "maximum control line exceeded": "lost",
  "Maximum Payload Violation": "lost",
  "Stale Connection": "lost",
  "Slow Consumer": "lost",
  "Server Shutdown": "lost",
  "message headers not supported": "lost",
  "bad message header detected": "lost",
  "Attempted To Connect To Route Port": "refused",
  "attempted to connect to leaf node port": "refused",
  "attempted to connect to gateway port": "refused",
  "Authorization Violation": "refused",
  "Authorization Timeout": "later",
  "Authentication Timeout": "later",
  "User Authentication Expired": "renewed",
  "User Authentication Revoked": "renewed",
  "Account Authentication Expired": "renewed",
  "Failed Account Registration": "later",
  "invalid client protocol": "refused",
  "no responders requires headers support": "refused",
  "Secure Connection - TLS Required": "refused",
  "proxy is not trusted": "refused",
  "proxy connection required": "refused",
  "maximum connections exceeded": "later",
  "maximum account active connections exceeded": "later",
  "Connection throttling is active. Please try again later.": "later",
  "maximum subscriptions exceeded": "fatal",
  "Invalid Subject": "fatal",
  "Invalid Publish Subject": "lost",
  'Permissions Violation for Publish to "x"': "refused",
  'Permissions Violation for Publish with Reply of "x"': "lost",
  'Permissions Violation for Subscription to "x"': "fatal",
  'Permissions Violation for Subscription to "x" using queue "q" (sid "1")': "fatal",
  'Permissions Violation for Subscription to "x", too many tokens': "fatal",
};

/** The codes of JetStream: the first, the last, and those of a server that has trouble. */
const [FIRST, LAST] = [10_002, 10_227];
const TROUBLE = {
  503: [
    ...[10_004, 10_008, 10_010, 10_023, 10_035, 10_036, 10_039, 10_063, 10_075, 10_076, 10_077],
    10_163,
  ],
  429: [10_167, 10_210, 10_211],
  500: [
    ...[10_006, 10_007, 10_009, 10_012, 10_028, 10_029, 10_041, 10_042, 10_045, 10_047, 10_048],
    ...[10_049, 10_050, 10_051, 10_052, 10_053, 10_057, 10_062, 10_064, 10_066, 10_067, 10_069],
    ...[10_072, 10_074, 10_096, 10_104, 10_110, 10_111, 10_117, 10_118, 10_119, 10_194, 10_195],
  ],
} as const;
/** Those of them that would be the same the next time. */
const FINAL = [
  // Clustering, an account or a feature is missing.
  ...[10_010, 10_035, 10_036, 10_039, 10_074],
  // A configuration that cannot be, and what only other programs ask for.
  ...[10_029, 10_042, 10_045, 10_049, 10_050, 10_051, 10_052, 10_053, 10_057, 10_062, 10_064],
  ...[10_066, 10_067, 10_069, 10_072, 10_096, 10_110, 10_111, 10_117],
];

Deno.test("nats: each -ERR of the protocol has its meaning, and another one has none", () => {
  for (const [text, meaning] of Object.entries(TEXTS)) assertEquals(meaningOfText(text), meaning);
  assertEquals(meaningOfText("Something New"), undefined);
});

Deno.test("nats: each error of the client has its meaning, and so has each status event", () => {
  // Those of JetStream's API are known by their codes.
  const others = ["InvalidNameError", "JetStreamError", "JetStreamNotEnabled"];
  for (const name of [...Object.keys(transport.errors), ...others]) {
    const own = name.replace("NoRespondersError", "NoResponders");
    assert(Object.hasOwn(CLIENT_ERRORS, own), name);
  }
  const events: transport.Status["type"][] = [
    ...["disconnect", "reconnect", "reconnecting", "update", "ldm", "error", "ping"] as const,
    ...["staleConnection", "forceReconnect", "slowConsumer", "close"] as const,
  ];
  for (const event of events) assert(Object.hasOwn(CLIENT_EVENTS, event), event);
});

Deno.test("nats-stream: each code of JetStream has its meaning, and another one has none", () => {
  for (let code = FIRST; code <= LAST; code++) {
    assert(meaningOfApi({ "err_code": code }) !== undefined, `${code}`);
  }
  for (const codes of Object.values(TROUBLE)) {
    for (const code of codes) {
      const meaning = meaningOfApi({ "err_code": code });
      const expected = code === 10_063 ? "lost" : FINAL.includes(code) ? "refused" : "later";
      assertEquals([code, meaning], [code, expected]);
    }
  }
  for (const code of [10_003, 10_037, 10_054, 10_059, 10_071, 10_097, 10_109, 10_166, 10_169]) {
    assertEquals(meaningOfApi({ "err_code": code }), "refused");
  }
  // A cluster that has only just started.
  assertEquals(meaningOfApi({ "err_code": 10_005 }), "later");
  assertEquals(meaningOfApi({ "err_code": LAST + 1 }), undefined);
  assertEquals(meaningOfApi({ code: 503, description: "raft: not leader" }), "later");
  assertEquals(meaningOfApi({ code: 500 }), undefined);
});

Deno.test("nats-stream: a stream that is full refuses, and one with trouble does so for now", () => {
  const full = { "err_code": 10_077, code: 503, description: "maximum messages exceeded" };
  assert(publishError(full) instanceof RefusedError);
  const trouble = { "err_code": 10_077, code: 503, description: "store is closed" };
  assert(publishError(trouble) instanceof TemporaryError);
});

Deno.test("nats-stream: the table decides on the error that the core gets", () => {
  const kinds = (codes: readonly number[]) =>
    codes.map((code) => publishError({ "err_code": code }).constructor);
  assertEquals(kinds([10_008, 10_109, 10_063, 10_999]), [
    TemporaryError,
    RefusedError,
    ConnectionError,
    UnknownReplyError,
  ]);
  const api = (code: number) =>
    new jetstream.JetStreamApiError({ code: 503, "err_code": code, description: "why" });
  assert(explain(api(10_008)) instanceof TemporaryError);
  assert(explain(api(10_035)) instanceof RefusedError);
  assert(explain(api(10_999)) instanceof UnknownReplyError);
  assert(explain(new transport.errors.TimeoutError()) instanceof TemporaryError);
  assertEquals((explain(api(10_035)) as Error).message, "why");
  const notEnabled = Object.assign(new Error("x", { cause: api(10_039) }), {
    name: "JetStreamNotEnabled",
  });
  assertEquals(meaningOf(notEnabled), "refused");
});
