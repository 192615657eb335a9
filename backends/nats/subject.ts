/**
 * Channel names as NATS subjects.
 *
 * A simple name is its own subject. What a server reserves is written as its
 * UTF-8 bytes, `%20`, and a token that is empty as a single `%`; so `a..b c` is
 * `a.%.b%20c`. The dots stay, so that wildcards can narrow a pattern down.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { Payload } from "../../core/backend/contract.ts";
import type { Pattern } from "../../core/backend/pattern.ts";

/** A line of the protocol has 4,096 bytes, with all else that stands in it. */
const LONGEST = 2_048;

// deno-lint-ignore no-control-regex
const RESERVED = /[\x00-\x20\x7f%*>]|\s/g;
/** The server's own, and where clients get their answers. */
const OWN = /^(?:\$|_(?=INBOX(?:\.|$)))/;

/** The subject of a channel. */
export function subjectOf(channel: string): string {
  return channel.split(".").map((token) => token === "" ? "%" : token.replace(RESERVED, escaped))
    .join(".").replace(OWN, escaped);
}

/** The channel of a subject; none if no channel has it. */
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

/** The narrowest subject with wildcards that takes in all that match. */
export function subjectsOf(pattern: Pattern): string {
  const [first = "", ...others] = pattern.pieces;
  if (others.length === 0) return subjectOf(first);
  // What stands before a star may go on, behind a dot as well.
  const end = first.lastIndexOf(".");
  return end < 0 ? ">" : `${subjectOf(first.slice(0, end))}.>`;
}

/**
 * Checks a channel, and a payload where there is one.
 *
 * @param limit How many bytes the server takes, where that is known.
 * @param header How many bytes travel with the payload.
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
      `Cannot use channel "${
        channel.slice(0, 32)
      }…": its subject has ${length} bytes, NATS takes ${LONGEST}`,
    );
  }
  const bytes = Buffer.byteLength(payload) + header;
  if (bytes <= limit) return;
  throw new RangeError(
    `Cannot publish to "${channel}": the payload ${
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
