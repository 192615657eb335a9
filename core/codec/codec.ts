/**
 * Codecs: how messages become payloads, and payloads messages.
 *
 * @module
 */

import type { Payload } from "../backend/contract.ts";
import { kindOf } from "../util/kind.ts";

/**
 * Two functions and a name. Each may take its time: the order of what is
 * published, and of what is received, stays the same.
 *
 * @typeParam Message What is published and received.
 */
export interface Codec<Message> {
  /** Appears in error messages. */
  readonly name: string;
  /** Turns a message for a channel into a payload. Throws a `TypeError` if it cannot. */
  encode(message: Message, channel: string): Payload | Promise<Payload>;
  /**
   * Turns a payload of a channel into a message. What it throws is reported as a
   * `messageerror`, and the payload is skipped.
   */
  decode(payload: Payload, channel: string): Message | Promise<Message>;
}

/**
 * A codec that takes no time, and does not care for the channel.
 *
 * @typeParam Message What is published and received.
 */
export interface SyncCodec<Message> {
  /** Appears in error messages. */
  readonly name: string;
  /** Turns a message into a payload. Throws a `TypeError` if it cannot. */
  encode(message: Message): Payload;
  /** Turns a payload into a message. */
  decode(payload: Payload): Message;
}

/** A codec, whatever its messages are. */
export type AnyCodec = Omit<Codec<unknown>, "encode"> & {
  /** Turns a message into a payload. */
  encode(message: never, channel: string): Payload | Promise<Payload>;
};

/** What a codec decodes to. */
export type MessageOf<Given extends AnyCodec> = Awaited<ReturnType<Given["decode"]>>;

const lenient = new TextDecoder("utf-8", { ignoreBOM: true });
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/**
 * Strings, as UTF-8: the default.
 *
 * A string with a lone surrogate is refused, since no broker carries it
 * unchanged; a payload that is not UTF-8 cannot be decoded.
 *
 * @example
 * ```ts
 * import { text } from "@broadcaster/broadcaster";
 * import assert from "node:assert/strict";
 *
 * assert.equal(text().decode(new TextEncoder().encode("hello")), "hello");
 * ```
 */
export function text(): SyncCodec<string> {
  return {
    name: "text",
    encode(message) {
      if (typeof message !== "string") {
        throw new TypeError(
          `Cannot encode message as text: it is ${
            kindOf(message)
          }, use the json() or bytes() codec`,
        );
      }
      if (!message.isWellFormed()) {
        throw new TypeError("Cannot encode message as text: it has a lone surrogate");
      }
      return message;
    },
    decode: decodeText,
  };
}

/**
 * Whatever `JSON.stringify` writes, with its rules for `Date`, `undefined` and
 * the like. A message that it refuses or turns into nothing (`undefined`, a
 * function, a `bigint`, a cycle) is a `TypeError`.
 *
 * @typeParam Message What is published and received. It is not checked: a
 * stranger on the channel may have published something else.
 *
 * @example
 * ```ts
 * import { Broadcast, json } from "@broadcaster/broadcaster";
 *
 * const broadcast = new Broadcast("memory://", { codec: json<{ text: string }>() });
 * await broadcast.publish("chatroom", { text: "hello" });
 * await broadcast.disconnect();
 * ```
 */
export function json<Message = unknown>(): SyncCodec<Message> {
  return {
    name: "json",
    encode(message) {
      let payload: string | undefined;
      try {
        payload = JSON.stringify(message);
      } catch (cause) {
        const reason = cause instanceof Error ? cause.message : String(cause);
        throw new TypeError(`Cannot encode message as JSON: ${reason}`, { cause });
      }
      if (payload === undefined) {
        throw new TypeError(`Cannot encode message as JSON: it is ${kindOf(message)}`);
      }
      return payload;
    },
    decode: (payload) => JSON.parse(decodeText(payload)),
  };
}

/**
 * Bytes as they are. Needs a backend that carries them: Postgres does not.
 *
 * @example
 * ```ts
 * import { bytes } from "@broadcaster/broadcaster";
 * import assert from "node:assert/strict";
 *
 * assert.deepEqual(bytes().decode("hi"), new Uint8Array([104, 105]));
 * ```
 */
export function bytes(): SyncCodec<Uint8Array> {
  return {
    name: "bytes",
    encode(message) {
      if (!(message instanceof Uint8Array)) {
        throw new TypeError(`Cannot encode message as bytes: it is ${kindOf(message)}`);
      }
      // The caller may write into it before it is sent.
      return message.slice();
    },
    decode: (payload) => typeof payload === "string" ? encoder.encode(payload) : payload,
  };
}

/** Runtimes have a short way for the lenient decoder; only what it may have replaced goes the other. */
function decodeText(payload: Payload): string {
  if (typeof payload === "string") return payload;
  const text = lenient.decode(payload);
  return text.includes("\ufffd") ? strict.decode(payload) : text;
}
