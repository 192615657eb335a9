/** Every reason code of MQTT and every error of its client has a meaning. */

import { assertEquals } from "@std/assert";
import {
  connectionLost,
  disconnected,
  explain,
  isFault,
  isUnreadable,
  type Meaning,
  meaningOf,
  type Packet,
  REASONS,
  RETURNS,
  unreadable,
} from "../../../backends/mqtt/errors.ts";
import {
  ConnectionError,
  RefusedError,
  TemporaryError,
  UnknownReplyError,
} from "../../../core/backend/errors.ts";

/** The reason codes that each packet may carry: the tables of the specification of MQTT 5. */
const SPECIFIED: Readonly<Record<Packet, readonly number[]>> = {
  connack: [
    ...[0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90],
    ...[0x95, 0x97, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9f],
  ],
  puback: [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99],
  pubrec: [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99],
  pubrel: [0x00, 0x92],
  pubcomp: [0x00, 0x92],
  suback: [0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2],
  unsuback: [0x00, 0x11, 0x80, 0x83, 0x87, 0x8f, 0x91],
  disconnect: [
    ...[0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8c, 0x8d, 0x8e, 0x8f, 0x90, 0x93],
    ...[0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2],
  ],
  auth: [0x00, 0x18, 0x19],
};

/** Codes that mean the server is busy, or has a quota. */
const LATER = [0x88, 0x89, 0x91, 0x96, 0x97, 0x9f];

/** What the core is told. */
const CLASSES: Readonly<Record<Exclude<Meaning, "done">, new (message: string) => Error>> = {
  refused: RefusedError,
  later: TemporaryError,
  lost: ConnectionError,
};

function failure(code: number | string | undefined, text = "text"): Error {
  return Object.assign(new Error(text), code !== undefined && { code });
}

Deno.test("mqtt: every reason code of every packet has a meaning, and no other code", () => {
  const all = new Set(Object.values(SPECIFIED).flat());
  assertEquals(
    Object.keys(REASONS).map(Number).sort((one, other) => one - other),
    [...all].sort((one, other) => one - other),
  );
  for (const [packet, codes] of Object.entries(SPECIFIED) as [Packet, number[]][]) {
    for (const code of codes) {
      const meaning = meaningOf(packet, code);
      const expected: Meaning[] = packet === "disconnect"
        ? ["lost"]
        : LATER.includes(code)
        ? ["later"]
        : code >= 0x80
        ? ["refused", "lost"]
        : packet === "auth" && code > 0
        ? ["refused"]
        : ["done"];
      assertEquals([packet, code, expected.includes(meaning)], [packet, code, true]);
      if (meaning === "done") continue;
      const error = failure(code);
      const explained = explain(packet, error);
      assertEquals([explained.constructor, explained.cause], [CLASSES[meaning], error]);
    }
  }
});

Deno.test("mqtt: a reason code that nobody knows has the meaning of its half", () => {
  assertEquals([meaningOf("puback", 0x20), meaningOf("suback", 0xfe)], ["done", "refused"]);
  assertEquals(meaningOf("disconnect", 0xfe), "lost");
});

Deno.test("mqtt: the return codes of MQTT 3.1.1 have meanings, the first names the way out", () => {
  const meanings = { 1: "refused", 2: "refused", 3: "later", 4: "refused", 5: "refused" };
  for (const [code, meaning] of Object.entries(meanings)) {
    assertEquals([RETURNS[Number(code)]?.[1], meaningOf("connack", Number(code))], [
      meaning,
      meaning,
    ]);
  }
  assertEquals(explain("connack", failure(1)).message, "the server does not speak MQTT 5");
});

Deno.test("mqtt: errors of sockets, and of the client itself, are losses", () => {
  const errors = [
    failure("ECONNRESET", "read ECONNRESET"),
    failure(undefined, "Connection closed"),
    failure(undefined, "connack timeout"),
    failure(undefined, "Keepalive timeout"),
    failure(undefined, "client disconnecting"),
  ];
  for (const error of errors) {
    assertEquals([explain("puback", error).constructor, isUnreadable(error)], [
      ConnectionError,
      false,
    ]);
  }
});

Deno.test("mqtt: an answer that the client cannot read refuses what it answers", () => {
  for (
    const text of [
      "Invalid puback reason code",
      "Invalid suback reason code",
      "Malformed suback, no payload specified",
      "Cannot parse properties",
      "Invalid header flag bits, must be 0x0 for puback packet",
    ]
  ) assertEquals([text, isUnreadable(failure(undefined, text))], [text, true]);
  const error = failure(undefined, "Invalid puback reason code");
  assertEquals(unreadable("puback", error).constructor, RefusedError);
  assertEquals(unreadable("suback", error).constructor, UnknownReplyError);
});

Deno.test("mqtt: the reason of a DISCONNECT is told, and whether a request is at fault", () => {
  const reasonString = "bye";
  const reason = disconnected(0x8e, { reasonString });
  assertEquals(
    connectionLost(reason).message,
    "the connection to the server was lost: Session taken over (bye)",
  );
  assertEquals(disconnected(0xfe).message, "reason code 254");
  assertEquals([0x8e, 0x8b, 0x97, 0x9c, undefined, "EPIPE"].some(isFault), false);
  assertEquals([0x82, 0x8f, 0x95, 0xa1, 0xa2].every(isFault), true);
});
