/**
 * The errors of RabbitMQ and of amqplib, and their meanings.
 *
 * @module
 */

import { ConnectionError, RefusedError } from "../../core/backend/errors.ts";

/** The meaning of an error. Each but the first is a refusal. */
export type Meaning =
  | "channel closed"
  | "no virtual host"
  | "starting"
  | "being created"
  | "no queue"
  | "other arguments"
  | "refused";

/** Meanings by the texts of amqplib and of the server: the first that matches. */
const MEANINGS: readonly (readonly [text: RegExp, meaning: Meaning])[] = [
  // An error closes its channel, and with it everything else that was asked on it.
  [/^Channel (?:ended|closed)\b/, "channel closed"],
  // The server closes a connection to a virtual host that does not exist without a reason.
  [/ConnectionOpenOk/, "no virtual host"],
  [/is down or inaccessible/, "starting"],
  [/a replica on the local node|RESOURCE_LOCKED/, "being created"],
  [/\b404\b.*no queue/, "no queue"],
  [/inequivalent arg '/, "other arguments"],
  // A handshake that fails has its reply code in the text alone.
  [/ (?:402|403|404|405|406|530|540) \(/, "refused"],
];

/** Reply codes of AMQP from here on are errors. Other errors have names for codes. */
const FIRST_CODE = 300;

/** The meaning of an error of amqplib; none if the server has not refused anything. */
export function meaningOf(error: unknown): Meaning | undefined {
  const { code, message } = Object(error) as { code?: unknown; message?: unknown };
  const [, meaning] = MEANINGS.find(([text]) => text.test(String(message))) ?? [];
  return meaning ?? (typeof code === "number" && code >= FIRST_CODE ? "refused" : undefined);
}

/** The argument in which a queue differs from its declaration. */
export function otherArgument(error: unknown): string | undefined {
  return /inequivalent arg '([\w-]+)'/.exec(String(error))?.[1];
}

/** An error of amqplib as the contract has it: refused, or the connection was lost. */
export function explain(error: unknown): unknown {
  const meaning = meaningOf(error);
  if (meaning === undefined) return error;
  if (meaning === "channel closed") return channelClosed(error);
  return new RefusedError((error as Error).message, { cause: error });
}

/** The server closed a channel, with everything that was under way on it. */
export function channelClosed(cause?: unknown): ConnectionError {
  return new ConnectionError("the server closed the channel", { cause });
}

/** A stream was deleted while it was in use. The next use creates it again. */
export function streamDeleted(cause?: unknown): ConnectionError {
  return new ConnectionError("the stream was deleted", { cause });
}
