/**
 * MessagePack: compact, and any values that JSON has, with bytes, dates and 64-bit
 * integers besides.
 *
 * Needs the library `@msgpack/msgpack`: Deno fetches it when this module is
 * loaded, with npm it is installed beside this package. It was chosen over faster
 * ones (some 2 µs for a message of a hundred bytes, where they take one) because it
 * has no dependency, compiles no code at run time and recurses into nothing that a
 * stranger has sent. Messages take about three quarters of their JSON, those
 * with bytes an eighth.
 *
 * @module
 */

import { importClient } from "../backend/kit/client_library.ts";
import { kindOf } from "../util/kind.ts";
import type { SyncCodec } from "./codec.ts";
import { bytesOf } from "./envelope.ts";
import { checkClaims, DEEPEST } from "./msgpack_limits.ts";

const library = await importClient<typeof import("@msgpack/msgpack")>("@msgpack/msgpack", "");

/** The range of a 64-bit integer. */
const LEAST = -(2n ** 63n);
const MOST = 2n ** 64n - 1n;

/**
 * Messages as MessagePack: null, booleans, numbers, bigints of 64 bits, strings,
 * `Uint8Array`s, `Date`s, arrays and plain objects of these, up to 100 deep.
 * `undefined` is left out of an object, and null in an array, as in JSON. Everything
 * else is a `TypeError`: a `Map`, a `Set`, an instance of a class, a function, a
 * string with a lone surrogate.
 *
 * An integer that another program wrote with 64 bits arrives as a bigint. A payload
 * that claims more than it has, or holds the key `__proto__`, cannot be decoded.
 * Needs a backend that carries bytes: `postgres://` does not.
 *
 * @typeParam Message What is published and received. It is not checked: a
 * stranger on the channel may have published something else.
 *
 * @example
 * ```ts
 * import { Broadcast } from "@broadcaster/broadcaster";
 * import { msgpack } from "@broadcaster/broadcaster/msgpack";
 *
 * const codec = msgpack<{ name: string; data: Uint8Array }>();
 * const broadcast = new Broadcast("memory://", { codec });
 * await broadcast.publish("photos", { name: "cat", data: new Uint8Array(1_000) });
 * await broadcast.disconnect();
 * ```
 */
export function msgpack<Message = unknown>(): SyncCodec<Message> {
  const options = { useBigInt64: true, ignoreUndefined: true, maxDepth: DEEPEST + 1 };
  return {
    name: "msgpack",
    encode(message) {
      if (message === undefined) refuse(message);
      check(message, 1);
      return library.encode(message, options);
    },
    decode(payload) {
      const bytes = bytesOf(payload);
      checkClaims(bytes);
      return library.decode(bytes, { useBigInt64: true }) as Message;
    },
  };
}

/** Refuses what would arrive as something else. */
function check(value: unknown, depth: number): void {
  switch (typeof value) {
    case "string":
      if (value.isWellFormed()) return;
      throw new TypeError("Cannot encode message as MessagePack: it has a lone surrogate");
    case "bigint":
      if (value >= LEAST && value <= MOST) return;
      throw new TypeError(
        "Cannot encode message as MessagePack: it has a bigint of more than 64 bits",
      );
    case "object":
      return value === null ? undefined : checkObject(value, depth);
    case "function":
    case "symbol":
      refuse(value);
  }
}

function checkObject(value: object, depth: number): void {
  if (value instanceof Uint8Array || value instanceof Date && !Number.isNaN(value.getTime())) {
    return;
  }
  if (depth > DEEPEST) {
    throw new TypeError(`Cannot encode message as MessagePack: it is more than ${DEEPEST} deep`);
  }
  if (Array.isArray(value)) {
    for (const element of value) check(element, depth + 1);
    return;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) refuse(value);
  for (const key of Object.keys(value)) {
    if (key === "__proto__") {
      throw new TypeError('Cannot encode message as MessagePack: it has a key "__proto__"');
    }
    check(key, depth);
    check((value as Record<string, unknown>)[key], depth + 1);
  }
}

function refuse(value: unknown): never {
  const kind = value instanceof Date ? "an invalid Date" : kindOf(value);
  throw new TypeError(`Cannot encode message as MessagePack: it is, or has, ${kind}`);
}
