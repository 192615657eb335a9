/**
 * The `compressed()` codec, which wraps another codec.
 *
 * @module
 */

import type { Payload } from "../backend/contract.ts";
import { kindOf } from "../util/kind.ts";
import { checkCodec, type Codec, sealingOf } from "./codec.ts";
import { bytesOf, concat, headOf, looksWrapped, unwrap } from "./envelope.ts";

/** Options of `compressed()`. */
export interface CompressedOptions {
  /**
   * Payloads up to this size, in bytes, are not compressed.
   *
   * @default {1024}
   */
  readonly above?: number | undefined;
  /**
   * The maximum size of a payload before it is compressed, in bytes. `publish()` rejects a larger
   * payload with a `RangeError`. A larger payload that is received causes a `messageerror`:
   * decompression stops at the limit.
   *
   * @default {16777216}
   */
  readonly limit?: number | undefined;
}

/**
 * Compresses the payloads of another codec with `deflate` (RFC 1950), if that makes them shorter.
 * It also decodes uncompressed payloads: deploy it to the subscribers first, then to the
 * publishers. A truncated payload, or a payload with trailing bytes, causes a `messageerror`.
 *
 * Needs `node:zlib`, which Deno, Node and Bun have, and a backend that supports bytes.
 * `postgres://` does not.
 *
 * @typeParam Message The type of the messages.
 * @param codec The codec to wrap.
 * @param options Additional options.
 * @throws {TypeError} If `codec` is not a codec.
 * @throws {RangeError} If an option is not a number of bytes.
 *
 * @example
 * ```ts
 * import { Broadcast, compressed, json } from "@broadcaster/broadcaster";
 *
 * const codec = compressed(json<{ cells: number[] }>());
 * const broadcast = new Broadcast("memory://", { codec });
 * await broadcast.publish("board", { cells: Array(1_000).fill(0) });
 * await broadcast.disconnect();
 * ```
 */
export function compressed<Message>(
  codec: Codec<Message>,
  { above = 1_024, limit = 16 * 1024 * 1024 }: CompressedOptions = {},
): Codec<Message> {
  checkCodec("compress messages: argument codec", codec);
  checkBytes("above", above, 0);
  checkBytes("limit", limit, 1);
  return {
    ...sealingOf(codec),
    name: `compressed ${codec.name}`,
    async encode(message, channel) {
      const payload = await codec.encode(message, channel);
      const bytes = bytesOf(payload);
      // Subscribers would reject it.
      if (bytes.length > limit) {
        throw new RangeError(
          `Cannot compress message: it has ${bytes.length} bytes, the limit is ${limit}`,
        );
      }
      if (bytes.length > above) {
        const short = concat(headOf("deflated"), await deflate(bytes));
        if (short.length < bytes.length) return short;
      }
      return looksWrapped(bytes) ? concat(headOf("plain"), bytes) : payload;
    },
    async decode(payload, channel) {
      const { kind, body = payload } = unwrap(payload) ?? {};
      if (kind === "encrypted" || kind === "sealed") {
        throw new Error(
          "Cannot decompress payload: it is encrypted, put encrypted() around compressed()",
        );
      }
      const inner: Payload = kind === "deflated" ? await inflate(bytesOf(body), limit) : body;
      return await codec.decode(inner, channel);
    },
  };
}

function checkBytes(name: keyof CompressedOptions, value: unknown, least: number): void {
  if (typeof value === "number" && value >= least) return;
  throw new RangeError(
    `Cannot compress messages: option ${name} must be a number of bytes of at least ${least}, it is ${
      typeof value === "number" ? value : kindOf(value)
    }`,
  );
}

async function deflate(bytes: Uint8Array): Promise<Uint8Array> {
  const { deflate } = await import("node:zlib");
  return await new Promise((resolve, reject) =>
    deflate(bytes, (error, result) => error ? reject(error) : resolve(result))
  );
}

/**
 * Decompresses up to the limit, since a few bytes can expand to gigabytes.
 *
 * `DecompressionStream` is not used. On Deno, it decompresses a whole chunk before any byte can be
 * counted, and it accepts a truncated payload.
 */
async function inflate(bytes: Uint8Array, limit: number): Promise<Uint8Array> {
  const { inflate } = await import("node:zlib");
  const { result, read } = await new Promise<Inflated>((resolve, reject) => {
    const options = { maxOutputLength: Math.min(Math.floor(limit), LARGEST), info: true };
    const done = (error: Error | null, { buffer, engine }: Info = {}) => {
      if (error === null && buffer && engine) {
        return resolve({ result: buffer, read: engine.bytesWritten });
      }
      reject(inflateError(error, limit));
    };
    // With `info`, the result is an object. The types of Node do not declare this.
    inflate(bytes, options as { maxOutputLength: number }, done as (error: Error | null) => void);
  });
  if (read !== bytes.length) {
    throw new Error(
      `Cannot decompress payload: it goes on after its end, with ${bytes.length - read} bytes`,
    );
  }
  // A copy is needed, since small buffers are parts of one buffer that the whole process shares.
  return concat(result);
}

/** The largest buffer that every runtime supports. */
const LARGEST = 2 ** 31 - 1;

/** The result of `inflate()` of `node:zlib` with the option `info`. */
interface Info {
  readonly buffer?: Uint8Array;
  readonly engine?: { readonly bytesWritten: number };
}

/** The decompressed bytes, and the number of compressed bytes that were read. */
interface Inflated {
  readonly result: Uint8Array;
  readonly read: number;
}

function inflateError(cause: Error | null, limit: number): Error {
  const { code, message } = (cause ?? {}) as { readonly code?: string; readonly message?: string };
  return code === "ERR_BUFFER_TOO_LARGE"
    ? new RangeError(`Cannot decompress payload: it has more than ${limit} bytes`)
    : new Error(`Cannot decompress payload: ${message}`, { cause });
}
