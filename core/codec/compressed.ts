/**
 * The `compressed()` codec, around any other.
 *
 * @module
 */

import type { Payload } from "../backend/contract.ts";
import type { Codec } from "./codec.ts";
import { bytesOf, concat, headOf, looksWrapped, unwrap } from "./envelope.ts";

/** Additional options of `compressed()`. */
export interface CompressedOptions {
  /** What is at most this long is left as it is: 1,024 bytes by default. */
  readonly above?: number | undefined;
  /**
   * What a payload may become at most when it is decompressed, in bytes: 16 MiB
   * by default. A longer one is a `messageerror`, and takes no more memory than
   * that.
   */
  readonly limit?: number | undefined;
}

/**
 * Compresses what another codec has encoded, if that makes it shorter, with
 * `deflate` (RFC 1950). It reads what is not compressed as well: let the
 * subscribers have it first, and the publishers then.
 *
 * Needs a backend that carries bytes: `postgres://` does not.
 *
 * @typeParam Message What the other codec encodes.
 * @param codec Encodes the messages.
 * @param options Additional options.
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
  return {
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
      if (kind === "encrypted") {
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

/** As long as it stays below the limit: a few bytes may claim to be gigabytes. */
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
