/**
 * The `encrypted()` codec, around any other.
 *
 * @module
 */

import type { Codec } from "./codec.ts";
import { bytesOf, concat, headOf, unwrap } from "./envelope.ts";

/** The keys of `encrypted()`. */
export interface EncryptionKeys {
  /** The id of the key that is encrypted with. */
  readonly current: string;
  /**
   * All keys that are decrypted with, by their ids of at most 255 bytes: AES keys
   * of `crypto.subtle`, or 16, 24 or 32 bytes.
   */
  readonly keys: Readonly<Record<string, CryptoKey | Uint8Array>>;
  /** Whether payloads that are not encrypted are read as well, while publishers change over. */
  readonly plain?: boolean | undefined;
}

/** The length of what makes each payload another one, as NIST SP 800-38D has it. */
const IV = 12;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/**
 * Encrypts what another codec has encoded, with AES-GCM: brokers, and whoever
 * reads their disks, learn the length of a message and no more. The id of the key
 * travels with it. The channel is authenticated: what was published to one cannot
 * be moved to another. That it is published once more there is not prevented.
 *
 * To rotate keys, give the new one to all subscribers, then make it the `current`
 * one of the publishers, then take the old one away. A key is good for some
 * 2^32 messages, since each has a random IV (NIST SP 800-38D, 8.3).
 *
 * What was encrypted with a key that is not there, altered on the way, or not
 * encrypted at all is a `messageerror`. Needs a backend that carries bytes:
 * `postgres://` does not.
 *
 * @typeParam Message What the other codec encodes.
 * @param codec Encodes the messages.
 * @param keys What is encrypted and decrypted with.
 * @throws {TypeError} If there is no current key, or what is given is no key.
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
  const ring = new Map(Object.entries(keys.keys).map(([id, key]) => [id, checkKey(id, key)]));
  const imported = new Map<string, Promise<CryptoKey>>();
  if (!ring.has(keys.current)) {
    throw new TypeError(`Cannot encrypt messages: there is no key "${keys.current}"`);
  }
  const current = encoder.encode(keys.current);

  function keyOf(id: string): Promise<CryptoKey> | undefined {
    const key = ring.get(id);
    const known = imported.get(id) ?? (key && importKey(key));
    if (known) imported.set(id, known);
    return known;
  }

  return {
    name: `encrypted ${codec.name}`,
    async encode(message, channel) {
      const bytes = bytesOf(await codec.encode(message, channel));
      const head = concat(headOf("encrypted"), Uint8Array.of(current.length), current);
      const iv = crypto.getRandomValues(new Uint8Array(IV));
      const algorithm = { name: "AES-GCM", iv, additionalData: bound(head, channel) };
      const key = await keyOf(keys.current)!;
      const secret = await crypto.subtle.encrypt(algorithm, key, bytes);
      return concat(head, iv, new Uint8Array(secret));
    },
    async decode(payload, channel) {
      const { kind, body = payload } = unwrap(payload) ?? {};
      if (kind !== "encrypted") {
        if (keys.plain) return await codec.decode(payload, channel);
        throw new Error("Cannot decrypt payload: it is not encrypted");
      }
      const bytes = bytesOf(body);
      const length = bytes[0] ?? 0;
      const id = decoder.decode(bytes.subarray(1, 1 + length));
      const key = keyOf(id);
      if (!key) throw new Error(`Cannot decrypt payload: there is no key "${id}"`);
      const head = concat(headOf("encrypted"), bytes.subarray(0, 1 + length));
      const iv = bytes.slice(1 + length, 1 + length + IV);
      const algorithm = { name: "AES-GCM", iv, additionalData: bound(head, channel) };
      const secret = bytes.subarray(1 + length + IV);
      return await codec.decode(await open(algorithm, await key, secret, id), channel);
    },
  };
}

/** What a payload is bound to: it cannot be given another key's id, nor another channel. */
function bound(head: Uint8Array, channel: string): Uint8Array<ArrayBuffer> {
  return concat(head, encoder.encode(channel));
}

async function open(
  algorithm: AesGcmParams,
  key: CryptoKey,
  secret: Uint8Array<ArrayBuffer>,
  id: string,
): Promise<Uint8Array> {
  try {
    return new Uint8Array(await crypto.subtle.decrypt(algorithm, key, secret));
  } catch (cause) {
    throw new Error(
      `Cannot decrypt payload: it was not encrypted for this channel with key "${id}", or it was altered`,
      { cause },
    );
  }
}

function checkKey(id: string, key: CryptoKey | Uint8Array): CryptoKey | Uint8Array {
  const length = encoder.encode(id).length;
  if (length > 255) {
    throw new TypeError(`Cannot use key "${id}": its id has ${length} bytes, the limit is 255`);
  }
  if (!(key instanceof Uint8Array) || [16, 24, 32].includes(key.length)) return key;
  throw new TypeError(
    `Cannot use key "${id}": it has ${key.length} bytes, an AES key has 16, 24 or 32`,
  );
}

function importKey(key: CryptoKey | Uint8Array): Promise<CryptoKey> {
  if (!(key instanceof Uint8Array)) return Promise.resolve(key);
  return crypto.subtle.importKey("raw", key.slice(), "AES-GCM", false, ["encrypt", "decrypt"]);
}
