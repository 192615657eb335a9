/**
 * Messages of the command: text, or bytes that are not text.
 *
 * @module
 */

import { type Codec, text } from "../core/codec/codec.ts";

const TEXT = text();
const DECODER = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Sends text, and receives text or bytes. */
export const MESSAGES: Codec<string | Uint8Array> = {
  name: "text",
  encode: (message) => typeof message === "string" ? TEXT.encode(message) : message,
  decode: (payload) => {
    if (typeof payload === "string") return payload;
    try {
      return DECODER.decode(payload);
    } catch {
      return payload;
    }
  },
};
