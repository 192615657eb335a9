/**
 * Codecs convert messages to payloads, and payloads to messages.
 *
 * @module
 */

import type { Payload } from "../backend/contract.ts";
import { reasonOf } from "../backend/errors.ts";
import { kindOf } from "../util/kind.ts";
import { shorten } from "../util/quote.ts";
import { isBytes } from "../util/realm.ts";

/**
 * Converts messages to payloads and back. Both functions may be asynchronous: the messages of a
 * channel keep their order, and other channels do not wait. A promise that does not settle within
 * the broadcast's `timeout`, or a second if that is longer, counts as failed.
 *
 * @typeParam Message The type of the messages.
 */
export interface Codec<Message> {
  /** The name shown in error messages. */
  readonly name: string;
  /** Encodes a message for a channel. Throws a `TypeError` if it cannot. */
  encode(message: Message, channel: string): Payload | Promise<Payload>;
  /**
   * Decodes a payload of a channel. If it throws, the error is reported as a `messageerror` and the
   * payload is skipped.
   */
  decode(payload: Payload, channel: string): Message | Promise<Message>;
  /**
   * Seals a payload of the library itself, such as the end of a channel, so that it cannot be
   * forged. Without this method, such payloads are sent as they are.
   *
   * A codec has both or neither of `seal` and `unseal`. `encrypted()` has them; a codec that wraps
   * another one passes them on.
   *
   * The result must begin with the bytes `C1 73` and be bound to the channel. `encode` must never
   * return a payload that could be mistaken for one.
   */
  seal?(payload: Uint8Array, channel: string): Uint8Array | Promise<Uint8Array>;
  /**
   * Opens a sealed payload. Also receives end marks that are not sealed, and returns those that it
   * accepts. An error is reported as a `messageerror`.
   */
  unseal?(payload: Uint8Array, channel: string): Uint8Array | Promise<Uint8Array>;
}

/** The two methods that a wrapping codec passes on. */
export function sealingOf(
  codec: Pick<Codec<unknown>, "seal" | "unseal">,
): Pick<Codec<unknown>, "seal" | "unseal"> {
  const { seal, unseal } = codec;
  return {
    ...seal && { seal: (payload, channel) => seal.call(codec, payload, channel) },
    ...unseal && { unseal: (payload, channel) => unseal.call(codec, payload, channel) },
  };
}

/**
 * A synchronous codec that needs no channel, so it can also be called directly.
 *
 * @typeParam Message The type of the messages.
 */
export type SyncCodec<Message> =
  & {
    /** Encodes a message. Throws a `TypeError` if it cannot. */
    encode(message: NoInfer<Message>, channel?: string): Payload;
    /** Decodes a payload. */
    decode(payload: Payload, channel?: string): NoInfer<Message>;
  }
  // Message is inferred from here only: `Message | Promise<Message>` would infer both.
  & Codec<Message>;

/**
 * Checks that a value is a codec.
 *
 * @param what The failed action, as shown in the message.
 * @throws {TypeError} If it is not a codec.
 */
export function checkCodec(what: string, codec: unknown): void {
  const { encode, decode } = Object(codec) as Partial<Codec<unknown>>;
  if (typeof encode === "function" && typeof decode === "function") return;
  throw new TypeError(
    `Cannot ${what} must be a codec, such as json(), it is ${kindOf(codec)}`,
  );
}

const lenient = new TextDecoder("utf-8", { ignoreBOM: true });
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/**
 * Encodes strings as UTF-8. This is the default codec.
 *
 * A string with a lone surrogate throws a `TypeError`, since no broker delivers it unchanged. A
 * payload that is not UTF-8 causes a `messageerror`.
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
 * Encodes messages as JSON, with the rules of `JSON.stringify()`. A message without a JSON form
 * (`undefined`, a function, a `bigint`, a cycle) throws a `TypeError`.
 *
 * Values that JSON cannot express arrive as other values:
 *
 * | published | received |
 * |---|---|
 * | a `Date` | its ISO 8601 text |
 * | `NaN`, `Infinity` | `null` |
 * | `-0` | `0` |
 * | `undefined` or a function: in an object, in an array | nothing, `null` |
 * | a `Map`, a `Set`, a `RegExp` | `{}` |
 * | a typed array | an object of its numbers |
 * | an object with `toJSON()` | what that returns |
 *
 * `msgpack()` keeps dates, bytes, `NaN` and `-0`, and rejects values that it cannot keep. With
 * schemas in the option `channels`, the first message is checked for values that do not survive.
 *
 * @typeParam Message The type of the messages. Received messages are not validated: another program
 * may have published something else.
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
        throw new TypeError(`Cannot encode message as JSON: ${reasonOf(cause)}`, { cause });
      }
      if (payload === undefined) {
        throw new TypeError(`Cannot encode message as JSON: it is ${kindOf(message)}`);
      }
      return payload;
    },
    decode(payload) {
      const text = decodeText(payload);
      try {
        return JSON.parse(text);
      } catch (cause) {
        // Engines quote the payload without escaping it.
        const reason = shorten(reasonOf(cause), 200);
        throw new SyntaxError(`Cannot decode payload as JSON: ${reason}`, { cause });
      }
    },
  };
}

/**
 * Sends bytes as they are. Needs a backend that supports bytes: `postgres://` does not.
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
      if (!isBytes(message)) {
        throw new TypeError(`Cannot encode message as bytes: it is ${kindOf(message)}`);
      }
      // The caller may modify the array before it is sent.
      return Uint8Array.from(message);
    },
    decode: (payload) => typeof payload === "string" ? encoder.encode(payload) : payload,
  };
}

/**
 * Runtimes optimize the lenient decoder. The strict one is needed only if it has replaced bytes.
 */
function decodeText(payload: Payload): string {
  if (typeof payload === "string") return payload;
  const text = lenient.decode(payload);
  return text.includes("\ufffd") ? strict.decode(payload) : text;
}
