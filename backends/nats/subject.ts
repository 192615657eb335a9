/**
 * Channel names as NATS subjects.
 *
 * A simple name is its own subject. Characters that a server reserves are written as their UTF-8
 * bytes, such as `%20`, and an empty token as a single `%`: the subject of `a..b c` is `a.%.b%20c`.
 * Dots stay unchanged, so that wildcards can narrow a pattern.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { Payload } from "../../core/backend/contract.ts";
import { nameOf } from "../../core/backend/name.ts";
import type { Pattern } from "../../core/backend/pattern.ts";

/** The longest subject, in bytes. A line of the protocol has at most 4,096. */
const LONGEST = 2_048;

// deno-lint-ignore no-control-regex
const RESERVED = /[\x00-\x20\x7f%*>]|\s/g;
/** The first characters of the server's own subjects, and of subjects for answers to clients. */
const OWN = /^(?:\$|_(?=INBOX(?:\.|$)))/;

/** Channels that are their own subject. */
const SIMPLE = /^(?!_INBOX\.)[\w-]+(?:\.[\w-]+)*$/;

/** The subject of a channel. */
export function subjectOf(channel: string): string {
  if (SIMPLE.test(channel) && channel !== "_INBOX") return channel;
  return channel.split(".").map((token) => token === "" ? "%" : token.replace(RESERVED, escaped))
    .join(".").replace(OWN, escaped);
}

/** The channel of a subject, or `undefined` if no channel has it. */
export function channelOf(subject: string): string | undefined {
  try {
    const channel = subject.split(".").map((token) =>
      token === "%" ? "" : decodeURIComponent(token)
    )
      .join(".");
    return subjectOf(channel) === subject ? channel : undefined;
  } catch {
    return undefined;
  }
}

/** The narrowest subject with wildcards that includes every matching channel. */
export function subjectsOf(pattern: Pattern): string {
  const [first = "", ...others] = pattern.pieces;
  if (others.length === 0) return subjectOf(first);
  // The token before a star may continue, and more tokens may follow.
  const end = first.lastIndexOf(".");
  return end < 0 ? ">" : `${subjectOf(first.slice(0, end))}.>`;
}

/**
 * Checks the length of a channel's subject, and of a payload.
 *
 * @param limit The maximum number of bytes that the server accepts, if known.
 * @param header The length of the headers of the message, in bytes.
 * @throws {RangeError} If one of them is too long.
 */
export function checkPublish(
  channel: string,
  payload: Payload = "",
  limit = Infinity,
  header = 0,
): void {
  const length = Buffer.byteLength(subjectOf(channel));
  if (length > LONGEST) {
    throw new RangeError(
      `Cannot use channel ${
        nameOf(channel)
      }: its subject has ${length} bytes, NATS takes ${LONGEST}`,
    );
  }
  const bytes = Buffer.byteLength(payload) + header;
  if (bytes <= limit) return;
  throw new RangeError(
    `Cannot publish to ${nameOf(channel)}: the payload ${
      header > 0 ? "and its headers have" : "has"
    } ${bytes} bytes, the server takes ${limit}`,
  );
}

function escaped(text: string): string {
  return Array.from(
    Buffer.from(text),
    (byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`,
  )
    .join("");
}
