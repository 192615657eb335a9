/**
 * The errors of Redis: the meaning of each reply, and the errors that a backend throws itself.
 *
 * @module
 */

import { ClosedError, ConnectionError, RefusedError } from "../../core/backend/errors.ts";

/**
 * The meaning of an error reply, by its first word.
 *
 * - `deposed`: the server became a replica, or its cluster is down; another server is to be found.
 * - `refused`: asking again does not help.
 */
const MEANINGS: Readonly<Record<string, "deposed" | "refused">> = {
  READONLY: "deposed",
  CLUSTERDOWN: "deposed",
  WRONGTYPE: "refused",
  NOPERM: "refused",
  NOAUTH: "refused",
};

/** The meaning of an error reply, if there is more to it than that the command failed. */
export function meaningOf(error: unknown): "deposed" | "refused" | undefined {
  const [code = ""] = textOf(error).split(" ", 1);
  return Object.hasOwn(MEANINGS, code) ? MEANINGS[code] : undefined;
}

/** The same error, or a `RefusedError` if asking again does not help. */
export function refusedIfFinal(error: unknown): unknown {
  return meaningOf(error) === "refused" ? new RefusedError(textOf(error), { cause: error }) : error;
}

/** Whether a key that a command needs does not exist. */
export function isNoSuchKey(error: unknown): boolean {
  return /no such key/i.test(textOf(error));
}

/** Whether an error is a reply of the server. */
export function isReply(error: unknown): error is Error {
  return error instanceof Error && error.name === "ReplyError";
}

/** A reply carries the command that it answers, and a login carries the password. */
export function withoutCommand(error: unknown): unknown {
  if (error instanceof Error && "command" in error) delete error.command;
  return error;
}

/** Where the cluster says that something is. */
export interface Redirection {
  /**
   * `ASK` concerns one command only: its slot is about to move, and its key already has.
   * `TRYAGAIN` answers a command of several keys, of which only some have moved.
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

/**
 * The redirection in a reply, alone or in a transaction. One error deep: ioredis may list the
 * error of a transaction among its own `previousErrors`.
 */
export function redirectionOf(error: unknown): Redirection | undefined {
  const { previousErrors } = Object(error) as { previousErrors?: unknown[] };
  const match = REDIRECTION.exec(textOf(error)) ?? REDIRECTION.exec(textOf(previousErrors?.[0]));
  if (!match) return undefined;
  const [, moved, slot, hostname, port, again] = match;
  return {
    kind: (moved ?? again) as Redirection["kind"],
    slot: Number(slot),
    hostname: hostname!,
    port: Number(port),
  };
}

/** The connection was lost. */
export function lostError(cause?: unknown): ConnectionError {
  return new ConnectionError("the connection to the server was lost", { cause });
}

/** A subscription ended although its connection is well. */
export function movedError(): ConnectionError {
  return new ConnectionError("its slot has moved to another node of the cluster");
}

/** The backend was used after it was closed. */
export function closedError(): ClosedError {
  return new ClosedError("Cannot use backend: it is closed");
}

function textOf(error: unknown): string {
  const { message } = Object(error) as { message?: unknown };
  return typeof message === "string" ? message : "";
}
