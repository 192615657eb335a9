/**
 * The error that a server sends right before it closes a connection.
 *
 * The client library reports such an error only if the server is also ready for the next statement,
 * which it never is again.
 *
 * @module
 */

import { Buffer } from "node:buffer";

/** The type of an `ErrorResponse`. */
const ERROR = "E".charCodeAt(0);
/** The size of the head of a message, in bytes: its type, and its length. */
const HEAD = 5;

/**
 * Finds the error at the end of the last bytes that a server sent. See "Message Formats" in
 * PostgreSQL's documentation.
 *
 * @param bytes The last bytes. They may start in the middle of a message: no error is found then.
 * @returns The error, in the form of the client library's errors, if its severity ends a connection.
 */
export function fatalErrorIn(bytes: Uint8Array): Error | undefined {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  let start = 0;
  while (start + HEAD <= buffer.length) {
    const end = start + 1 + buffer.readUInt32BE(start + 1);
    if (buffer[start] === ERROR && end === buffer.length) {
      return errorOf(buffer.toString("utf8", start + HEAD));
    }
    start = Math.max(end, start + HEAD);
  }
  return undefined;
}

/** Fields: a letter, a text, and a NUL. */
function errorOf(text: string): Error | undefined {
  const fields = new Map(
    text.split("\0").map((field) => [field.charAt(0), field.slice(1)]),
  );
  const [severity, code, message] = ["S", "C", "M"].map((name) => fields.get(name));
  // The text of "S" is in the server's language, and that of "V" is not. Poolers send only "S".
  if (!/^(FATAL|PANIC)$/.test(fields.get("V") ?? severity ?? "")) return undefined;
  if (code === undefined || message === undefined) return undefined;
  return Object.assign(new Error(message), { name: "PostgresError", severity, code });
}
