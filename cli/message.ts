/**
 * Messages of the command: text, or bytes that are not text.
 *
 * @module
 */

import { type Codec, text } from "../core/codec/codec.ts";

const TEXT = text();
const DECODER = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Sends texts, and receives whatever there is. */
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
