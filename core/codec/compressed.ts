/**
 * The `compressed()` codec, which wraps another codec.
 *
 * @module
 */

import type { Payload } from "../backend/contract.ts";
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
   * The maximum size of a decompressed payload, in bytes. A larger one is a `messageerror`;
   * decompression stops at the limit.
   *
   * @default {16777216}
   */
  readonly limit?: number | undefined;
}

/**
 * Compresses the payloads of another codec with `deflate` (RFC 1950), if that makes them shorter.
 * It also decodes uncompressed payloads: deploy it to the subscribers first, then to the
 * publishers.
 *
 * Needs a backend that supports bytes: `postgres://` does not.
 *
 * @typeParam Message The type of the messages.
 * @param codec The codec to wrap.
 * @param options Additional options.
 * @throws {TypeError} If `codec` is not a codec.
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
  return {
    ...sealingOf(codec),
    name: `compressed ${codec.name}`,
    async encode(message, channel) {
      const payload = await codec.encode(message, channel);
      const bytes = bytesOf(payload);
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

async function deflate(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Decompresses up to the limit, since a few bytes can expand to gigabytes. */
async function inflate(bytes: Uint8Array<ArrayBuffer>, limit: number): Promise<Uint8Array> {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of stream as AsyncIterable<Uint8Array>) {
    length += chunk.length;
    if (length > limit) {
      throw new RangeError(`Cannot decompress payload: it has more than ${limit} bytes`);
    }
    chunks.push(chunk);
  }
  return concat(...chunks);
}
