/** Every error code of the protocol has a meaning. */

import { assertEquals } from "@std/assert";
import protocol from "npm:kafkajs@2.2.4/src/protocol/error.js";
import { CODES, explain } from "../../../backends/kafka/errors.ts";

const KNOWN: readonly { readonly type: string; readonly code: number }[] = protocol.errorCodes;

Deno.test("kafka: every error code that kafkajs knows is in the table, and no other name is", () => {
  const names = KNOWN.map(({ type }) => type);
  assertEquals(names.filter((name) => !Object.hasOwn(CODES, name)), []);
  const numbers = Object.keys(CODES).filter((name) => !names.includes(name));
  // Newer than kafkajs, whose last code is 88.
  assertEquals(numbers.filter((number) => !(Number(number) > 88)), []);
});

Deno.test("kafka: an error code is refused, temporary or unknown, and never a lost connection", () => {
  const kinds = new Map<string, string[]>();
  for (const { code, type } of KNOWN) {
    const { name } = explain(protocol.createErrorFromCode(code));
    kinds.set(name, [...kinds.get(name) ?? [], type]);
  }
  assertEquals([...kinds.keys()].sort(), ["RefusedError", "TemporaryError", "UnknownReplyError"]);
  assertEquals(kinds.get("UnknownReplyError"), ["UNKNOWN", "CORRUPT_MESSAGE"]);
});

Deno.test("kafka: codes newer than kafkajs are told by their number", () => {
  const nameOf = (code: number) => explain(protocol.createErrorFromCode(code)).name;
  // THROTTLING_QUOTA_EXCEEDED, NEW_LEADER_ELECTED, and one that no broker has.
  assertEquals([89, 108, 999].map(nameOf), [
    "TemporaryError",
    "TemporaryError",
    "UnknownReplyError",
  ]);
});
