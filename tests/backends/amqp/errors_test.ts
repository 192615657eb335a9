/** Every answer of AMQP, RabbitMQ and amqplib has a meaning. */

import { assertEquals } from "@std/assert";
import { explain, type Meaning, meaningOf, REPLIES } from "../../../backends/amqp/errors.ts";
import {
  ConnectionError,
  RefusedError,
  TemporaryError,
  UnknownReplyError,
} from "../../../core/backend/errors.ts";

/** The reply codes of the specification of AMQP 0-9-1, in its section "Constants". */
const SPECIFIED = {
  ...{ 200: "REPLY_SUCCESS", 311: "CONTENT_TOO_LARGE", 312: "NO_ROUTE", 313: "NO_CONSUMERS" },
  ...{ 320: "CONNECTION_FORCED", 402: "INVALID_PATH", 403: "ACCESS_REFUSED", 404: "NOT_FOUND" },
  ...{ 405: "RESOURCE_LOCKED", 406: "PRECONDITION_FAILED", 501: "FRAME_ERROR" },
  ...{ 502: "SYNTAX_ERROR", 503: "COMMAND_INVALID", 504: "CHANNEL_ERROR" },
  ...{ 505: "UNEXPECTED_FRAME", 506: "RESOURCE_ERROR", 530: "NOT_ALLOWED" },
  ...{ 540: "NOT_IMPLEMENTED", 541: "INTERNAL_ERROR" },
};

/** What the core is told. */
const CLASSES: Readonly<Record<Meaning, new (message: string) => Error>> = {
  refused: RefusedError,
  later: TemporaryError,
  lost: ConnectionError,
  unknown: UnknownReplyError,
};

/** Texts of RabbitMQ that say more than their code. */
const TOLD: readonly (readonly [code: number, text: string, meaning: Meaning])[] = [
  [404, "NOT_FOUND - no exchange 'broadcaster' in vhost '/'", "later"],
  [404, "NOT_FOUND - no queue 'chat' in vhost '/'", "later"],
  [
    404,
    "NOT_FOUND - home node 'b@c' of durable queue 'q' in vhost '/' is down or inaccessible",
    "later",
  ],
  [405, "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q'", "later"],
  [
    406,
    "PRECONDITION_FAILED - cannot declare queue 'q': queue limit in vhost '/' (9) is reached",
    "later",
  ],
  [406, "PRECONDITION_FAILED - message size 200 is larger than configured max size 100", "refused"],
  [406, "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'e' in vhost '/'", "refused"],
  [406, "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out", "lost"],
  [403, "ACCESS_REFUSED - access to exchange 'e' in vhost '/' refused for user 'u'", "refused"],
  [530, "NOT_ALLOWED - vhost 'v' is down", "later"],
  [
    530,
    "NOT_ALLOWED - access to vhost '/' refused for user 'u': connection limit (9) is reached",
    "later",
  ],
  [
    541,
    "INTERNAL_ERROR - Cannot declare a queue 'q' on node 'n': coordinator_unavailable",
    "later",
  ],
];

/** What amqplib says by itself. */
const CLIENT: readonly (readonly [error: Error, meaning: Meaning])[] = [
  [new Error("Channel ended, no reply will be forthcoming"), "later"],
  [new Error("Channel closed"), "later"],
  [new Error("Channel closing"), "later"],
  [new Error("channel closed"), "later"],
  [new Error("No channels left to allocate"), "later"],
  [new Error("Connection closing"), "lost"],
  [new Error("Connection closed (by client)"), "lost"],
  [new Error("Heartbeat timeout"), "lost"],
  [new Error("Unexpected close"), "lost"],
  [new Error("Socket closed abruptly during opening handshake"), "lost"],
  [new Error("connect ETIMEDOUT"), "lost"],
  [new Error("Frame on unknown channel: <BasicDeliver channel:7>"), "lost"],
  [new Error("Unexpected frame on channel 0: <BasicDeliver channel:0>"), "lost"],
  [Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" }), "lost"],
  [Object.assign(new Error("write EPIPE"), { code: "EPIPE" }), "lost"],
  [new Error("Expected ConnectionOpenOk; got <ConnectionClose channel:0>"), "refused"],
  [new Error("SASL mechanism EXTERNAL is not provided by the server"), "refused"],
  [new Error("message nacked"), "refused"],
  [new Error('Handshake terminated by server: 403 (ACCESS-REFUSED) with message "…"'), "refused"],
  [new Error("Expected QueueDeclareOk; got <BasicAck channel:1>"), "unknown"],
  [new Error("Unknown consumer: tag"), "unknown"],
  [new Error("something new"), "unknown"],
];

Deno.test("amqp: every reply code of the specification has a meaning, and no other", () => {
  assertEquals(
    Object.fromEntries(Object.entries(REPLIES).map(([code, [name]]) => [code, name])),
    Object.fromEntries(Object.entries(SPECIFIED)),
  );
  for (const [code, [name, meaning]] of Object.entries(REPLIES)) {
    const text = `Channel closed by server: ${code} (${name.replaceAll("_", "-")}) with message`;
    const error = Object.assign(new Error(text), { code: Number(code) });
    assertEquals(meaningOf(error), meaning);
    // A handshake that fails has its code in the text alone.
    assertEquals(meaningOf(new Error(text)), meaning);
    assertEquals((explain(error) as Error).constructor, CLASSES[meaning]);
  }
});

Deno.test("amqp: a reply code that nobody knows renews the connection once", () => {
  for (const code of [299, 407, 599]) {
    const error = Object.assign(new Error(`Operation failed: ${code} (NEW)`), { code });
    assertEquals((explain(error) as Error).constructor, UnknownReplyError);
  }
});

Deno.test("amqp: texts of RabbitMQ that say more than their code have their meaning", () => {
  for (const [code, text, meaning] of TOLD) {
    const error = Object.assign(new Error(`Operation failed: QueueDeclare; ${text}`), { code });
    assertEquals([text, meaningOf(error)], [text, meaning]);
  }
});

Deno.test("amqp: every error of the client has a meaning, and none is explained twice", () => {
  for (const [error, meaning] of CLIENT) {
    assertEquals([error.message, meaningOf(error)], [error.message, meaning]);
    const explained = explain(error) as Error;
    assertEquals([explained.constructor, explained.cause], [CLASSES[meaning], error]);
    assertEquals(explain(explained), explained);
  }
});
