/**
 * The `encrypted()` codec, which wraps another codec.
 *
 * @module
 */

import type { Payload } from "../backend/contract.ts";
import { kindOf } from "../util/kind.ts";
import { quote } from "../util/quote.ts";
import { isBytes } from "../util/realm.ts";
import { checkCodec, type Codec } from "./codec.ts";
import { bytesOf, concat, headOf, isWrapped, type Kind } from "./envelope.ts";

/** The keys of `encrypted()`. */
export interface EncryptionKeys {
  /** The id of the key to encrypt with. */
  readonly current: string;
  /**
   * All keys to decrypt with, by id. A key is an AES-GCM key of `crypto.subtle` with the usage
   * `decrypt`, and `encrypt` if it is the current key. It can also be 16, 24 or 32 bytes, which are
   * copied. An id has at most 255 bytes.
   */
  readonly keys: Readonly<
    // This is `CryptoKey`, a global type that @types/node does not declare.
    Record<string, Awaited<ReturnType<typeof crypto.subtle.importKey>> | Uint8Array>
  >;
  /**
   * Also accept payloads that are not encrypted, including ends of channels, while publishers
   * migrate.
   *
   * @default {false}
   */
  readonly plain?: boolean | undefined;
}

/** The length of the initialization vector in bytes, as NIST SP 800-38D recommends. */
const IV = 12;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/**
 * Encrypts the payloads of another codec with AES-GCM. Brokers, and anyone with access to their
 * disks, learn only the length of a message and the id of its key.
 *
 * - **Channels** are authenticated: a message cannot be moved to another channel. Replaying it in
 *   the same channel is not prevented.
 * - **Ends** of channels are encrypted too: ending a channel requires a key.
 * - **Rotation**: add the new key at all subscribers, make it the `current` key of the publishers,
 *   then remove the old one. A key is safe for about 2^32 messages, since each message has a random
 *   IV (NIST SP 800-38D, 8.3).
 *
 * A payload that was encrypted with an unknown key, was altered, or is not encrypted causes a
 * `messageerror`. Needs a backend that supports bytes: `postgres://` does not.
 *
 * @typeParam Message The type of the messages.
 * @param codec The codec to wrap.
 * @param keys The keys.
 * @throws {TypeError} If `codec` is not a codec, the current key is missing, or a key is invalid.
 *
 * @example
 * ```ts
 * import { Broadcast, encrypted, json } from "@broadcaster/broadcaster";
 *
 * const key = crypto.getRandomValues(new Uint8Array(32));
 * const codec = encrypted(json(), { current: "2026-11", keys: { "2026-11": key } });
 * const broadcast = new Broadcast("memory://", { codec });
 * await broadcast.publish("secrets", { pin: 1234 });
 * await broadcast.disconnect();
 * ```
 */
export function encrypted<Message>(codec: Codec<Message>, keys: EncryptionKeys): Codec<Message> {
  checkCodec("encrypt messages: argument codec", codec);
  if (typeof keys?.keys !== "object" || keys.keys === null) {
    throw new TypeError(
      `Cannot encrypt messages: keys must be an object of keys by their ids, it is ${
        kindOf(keys?.keys)
      }`,
    );
  }
  const ring = new Map(
    Object.entries(keys.keys).map((
      [id, key],
    ) => [id, checkKey(id, key, id === keys.current ? "encrypt" : "decrypt")]),
  );
  const imported = new Map<string, Promise<CryptoKey>>();
  if (!ring.has(keys.current)) {
    throw new TypeError(`Cannot encrypt messages: there is no key ${quote(`${keys.current}`)}`);
  }
  const { current: id, plain } = keys;
  const current = encoder.encode(id);

  function keyOf(id: string): Promise<CryptoKey> | undefined {
    const key = ring.get(id);
    const known = imported.get(id) ?? (key && importKey(key));
    if (known) imported.set(id, known);
    return known;
  }

  async function encrypt(kind: Kind, bytes: Uint8Array<ArrayBuffer>, channel: string) {
    const head = concat(headOf(kind), Uint8Array.of(current.length), current);
    const iv = crypto.getRandomValues(new Uint8Array(IV));
    const algorithm = { name: "AES-GCM", iv, additionalData: bound(head, channel) };
    const key = await keyOf(id)!;
    const secret = await crypto.subtle.encrypt(algorithm, key, bytes);
    return concat(head, iv, new Uint8Array(secret));
  }

  /** Returns `undefined` if the payload is not encrypted and `plain` is set. */
  async function decrypt(
    kind: Kind,
    payload: Payload,
    channel: string,
  ): Promise<Uint8Array<ArrayBuffer> | undefined> {
    if (!isWrapped(payload, kind)) {
      if (plain) return undefined;
      throw new Error("Cannot decrypt payload: it is not encrypted");
    }
    const bytes = payload.subarray(2);
    const length = bytes[0] ?? 0;
    const id = decoder.decode(bytes.subarray(1, 1 + length));
    const key = keyOf(id);
    if (!key) throw new Error(`Cannot decrypt payload: there is no key ${quote(id)}`);
    const head = concat(headOf(kind), bytes.subarray(0, 1 + length));
    const iv = bytes.slice(1 + length, 1 + length + IV);
    const algorithm = { name: "AES-GCM", iv, additionalData: bound(head, channel) };
    return await open(algorithm, await key, bytes.subarray(1 + length + IV), id);
  }

  return {
    name: `encrypted ${codec.name}`,
    async encode(message, channel) {
      return await encrypt("encrypted", bytesOf(await codec.encode(message, channel)), channel);
    },
    async decode(payload, channel) {
      return await codec.decode(await decrypt("encrypted", payload, channel) ?? payload, channel);
    },
    async seal(payload, channel) {
      const inner = await codec.seal?.(payload, channel) ?? payload;
      return await encrypt("sealed", bytesOf(inner), channel);
    },
    async unseal(payload, channel) {
      const inner = await decrypt("sealed", payload, channel) ?? payload;
      return await codec.unseal?.(inner, channel) ?? inner;
    },
  };
}

/** The authenticated data of a payload, which binds it to the key id and the channel. */
function bound(head: Uint8Array, channel: string): Uint8Array<ArrayBuffer> {
  return concat(head, encoder.encode(channel));
}

async function open(
  algorithm: AesGcmParams,
  key: CryptoKey,
  secret: Uint8Array<ArrayBuffer>,
  id: string,
): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return new Uint8Array(await crypto.subtle.decrypt(algorithm, key, secret));
  } catch (cause) {
    throw new Error(
      `Cannot decrypt payload: it was not encrypted for this channel with key ${
        quote(id)
      }, or it was altered`,
      { cause },
    );
  }
}

/**
 * Checks a key, and copies its bytes, since the caller may wipe them before the import at first
 * use.
 */
function checkKey(
  id: string,
  key: CryptoKey | Uint8Array,
  usage: "encrypt" | "decrypt",
): CryptoKey | Uint8Array {
  const refuse = (reason: string) => new TypeError(`Cannot use key ${quote(id)}: ${reason}`);
  const { length } = encoder.encode(id);
  if (length > 255) throw refuse(`its id has ${length} bytes, the limit is 255`);
  if (isBytes(key)) {
    if ([16, 24, 32].includes(key.length)) return Uint8Array.from(key);
    throw refuse(`it has ${key.length} bytes, an AES key has 16, 24 or 32`);
  }
  if (Object.prototype.toString.call(key) !== "[object CryptoKey]") {
    throw refuse(`it must be a CryptoKey or bytes, it is ${kindOf(key)}`);
  }
  const { algorithm, usages } = key;
  if (algorithm.name !== "AES-GCM") {
    throw refuse(`it must be for AES-GCM, it is for ${algorithm.name}`);
  }
  if (!usages.includes(usage)) {
    throw refuse(
      `it must be imported with the usage ${quote(usage)}, it has ${usages.join(", ") || "none"}`,
    );
  }
  return key;
}

function importKey(key: CryptoKey | Uint8Array): Promise<CryptoKey> {
  if (!isBytes(key)) return Promise.resolve(key);
  return crypto.subtle.importKey("raw", key as Uint8Array<ArrayBuffer>, "AES-GCM", false, [
    "encrypt",
    "decrypt",
  ]);
}
