/**
 * The errors of Redis: the meaning of each reply, and the backend's own errors.
 *
 * @module
 */

import {
  ClosedError,
  ConnectionError,
  RefusedError,
  TemporaryError,
  UnknownReplyError,
} from "../../core/backend/errors.ts";
import { withLoginHelp } from "../../core/backend/kit/connecting_help.ts";

/**
 * The meaning of an error reply:
 *
 * - `refused`: a retry would fail too. The call, or the subscription, fails.
 * - `later`: the server has done nothing and temporarily cannot. The call is retried.
 * - `renewed`: same as `later`, but the connection leads to the wrong server, or has lost its
 *   login. A new connection is opened before the retry.
 * - `moved`: another node of the cluster is responsible.
 */
export type Meaning = "refused" | "later" | "renewed" | "moved";

/**
 * The meaning of each error reply of Redis 8 and Valkey 9, by its first word. Their Sentinels have
 * two more.
 */
export const MEANINGS: Readonly<Record<string, Meaning>> = {
  // The call is wrong, or the user lacks a right.
  ERR: "refused",
  BUSYGROUP: "refused",
  BUSYKEY: "refused",
  CROSSSLOT: "refused",
  DENIED: "refused",
  EXECABORT: "refused",
  INVALIDOBJ: "refused",
  NOGROUP: "refused",
  NOPERM: "refused",
  NOPROTO: "refused",
  NOSCRIPT: "refused",
  NOSUB: "refused",
  NOTBUSY: "refused",
  UNKILLABLE: "refused",
  WRONGPASS: "refused",
  WRONGTYPE: "refused",
  // The server is starting, runs a script, or waits for memory, a disk, a replica, its master or a
  // slot.
  BUSY: "later",
  CLUSTERDOWN: "later",
  INPROG: "later",
  IOERR: "later",
  LOADING: "later",
  MASTERDOWN: "later",
  MISCONF: "later",
  NOGOODSLAVE: "later",
  NOMASTERLINK: "later",
  NOQUORUM: "later",
  NOREPLICAS: "later",
  OOM: "later",
  // The server became a replica, or no longer knows the user of this connection.
  NOAUTH: "renewed",
  READONLY: "renewed",
  UNBLOCKED: "renewed",
  // A slot of a cluster.
  ASK: "moved",
  MOVED: "moved",
  REDIRECT: "moved",
  TRYAGAIN: "moved",
};

/** Generic errors that are temporary. */
const PASSING = /^ERR max number of clients/;

/** Before Redis 7, a script's error contains the error of its command. */
const IN_SCRIPT = /^ERR .*@user_script: ?\d+: -?([A-Z]+) /;

/** The meaning of an error reply, or `undefined` if no server is known to send it. */
export function meaningOf(reply: unknown): Meaning | undefined {
  const text = textOf(reply);
  if (PASSING.test(text)) return "later";
  const code = IN_SCRIPT.exec(text)?.[1] ?? text.split(" ", 1)[0]!;
  return Object.hasOwn(MEANINGS, code) ? MEANINGS[code] : undefined;
}

/**
 * Converts an error reply to the error that the core expects.
 *
 * @param reply The error from the client.
 */
export function replyError(reply: unknown): Error {
  const text = helpfulTextOf(reply);
  const options = { cause: withoutCommand(reply) };
  const meaning = meaningOf(reply);
  if (meaning === undefined) return new UnknownReplyError(text, options);
  return meaning === "refused"
    ? new RefusedError(text, options)
    : new TemporaryError(text, options);
}

/** The error for a connection that was answered with an error while it was opened. */
export function openingError(reply: unknown): Error {
  return meaningOf(reply) === "later"
    ? replyError(reply)
    : new RefusedError(helpfulTextOf(reply), { cause: withoutCommand(reply) });
}

/** Whether the user lacks a right, or the server does not know the command. */
export function isUnavailable(error: unknown): boolean {
  return /^NOPERM |^ERR unknown (sub)?command/i.test(textOf(error));
}

/** Whether a key that a command needs does not exist. */
export function isNoSuchKey(error: unknown): boolean {
  return /no such key/i.test(textOf(error));
}

/** Whether an error is a reply of the server. */
export function isReply(error: unknown): error is Error {
  return (Object(error) as Error).name === "ReplyError";
}

/** Removes the command from a reply, since a login contains the password. */
export function withoutCommand(error: unknown): unknown {
  delete (Object(error) as { command?: unknown }).command;
  return error;
}

/** A redirection of a cluster. */
export interface Redirection {
  /**
   * `ASK` concerns only one command: its slot is about to move, and its key has moved already.
   * `TRYAGAIN` answers a command with several keys, of which only some have moved.
   */
  readonly kind: "MOVED" | "ASK" | "TRYAGAIN";
  /** The slot. */
  readonly slot: number;
  /** Empty for the node that answered. */
  readonly hostname: string;
  /** The port. */
  readonly port: number;
}

const REDIRECTION = /^(?:(MOVED|ASK) (\d+) (.*):(\d+)|(TRYAGAIN) .*)$/;

/** The redirection in a reply, or in the cause of an error. */
export function redirectionOf(error: unknown): Redirection | undefined {
  const match = REDIRECTION.exec(textOf(error));
  if (!match) return undefined;
  const [, moved, slot, hostname, port, again] = match;
  return {
    kind: (moved ?? again) as Redirection["kind"],
    slot: Number(slot),
    hostname: hostname!,
    port: Number(port),
  };
}

/** The error for a lost connection. */
export function lostError(cause?: unknown): ConnectionError {
  return new ConnectionError("the connection to the server was lost", { cause });
}

/** The error for a subscription that ended although its connection works. */
export function movedError(): ConnectionError {
  return new ConnectionError("its slot has moved to another node of the cluster");
}

/** The error for a backend that is used after it was closed. */
export function closedError(): ClosedError {
  return new ClosedError("Cannot use backend: it is closed");
}

/** The text of a reply, with advice about a missing login or right. */
function helpfulTextOf(reply: unknown): string {
  const text = textOf(reply);
  if (/^(NOAUTH|WRONGPASS) /.test(text)) {
    return withLoginHelp(text, "redis://user:password@host", "redis://:password@host");
  }
  const right = text.startsWith("NOPERM ") ? rightIn(text) : undefined;
  return right === undefined ? text : `${text}; grant it: ACL SETUSER <user> ${right}`;
}

/** The access rule that a user lacks. Redis writes subcommands as `xinfo|stream`. */
function rightIn(text: string): string | undefined {
  const [, command] = /'([\w|-]+)' command/.exec(text) ?? [];
  if (command !== undefined) return `+${command.toLowerCase()}`;
  if (/ channels? used| a channel/.test(text)) return "&<channel>";
  return / keys? used| a key/.test(text) ? "~<key>" : undefined;
}

function textOf(error: unknown): string {
  const { message } = Object(error) as { message?: unknown };
  return typeof message === "string" ? message : "";
}
