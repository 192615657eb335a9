/** Snappy, as little of it as tests need: kafkajs has none. */

import { Buffer } from "node:buffer";
import kafkajs from "kafkajs";

const { CompressionCodecs, CompressionTypes: { Snappy } } = kafkajs;

/**
 * Runs something while kafkajs writes Snappy, in Java's framing and without finding anything that
 * repeats, and reads it, unless it shall not.
 */
export async function withSnappy<Value>(
  body: () => Promise<Value>,
  { reads = true }: { reads?: boolean } = {},
): Promise<Value> {
  const without = CompressionCodecs[Snappy]!;
  CompressionCodecs[Snappy] = () => ({
    compress: (encoder: { buffer: Uint8Array }) => Promise.resolve(compress(encoder.buffer)),
    // The one that kafkajs comes with says that there is none.
    decompress: reads
      ? (compressed: Uint8Array) => Promise.resolve(decompress(Buffer.from(compressed)))
      : () => without(),
  });
  try {
    return await body();
  } finally {
    CompressionCodecs[Snappy] = without;
  }
}

/** A header, and one block of one literal. */
function compress(bytes: Uint8Array): Buffer {
  const literal = Buffer.from([...varint(bytes.length), 61 << 2, 0, 0, ...bytes]);
  literal.writeUInt16LE(bytes.length - 1, literal.length - bytes.length - 2);
  const header = Buffer.from("\x82SNAPPY\0\0\0\0\x01\0\0\0\x01\0\0\0\0", "latin1");
  header.writeUInt32BE(literal.length, 16);
  return Buffer.concat([header, literal]);
}

function decompress(framed: Buffer): Buffer {
  const block = framed.subarray(20);
  const start = block.findIndex((byte) => byte < 0x80) + 1;
  return block.subarray(start + 3);
}

function varint(value: number): number[] {
  return value < 0x80 ? [value] : [value & 0x7f | 0x80, ...varint(value >> 7)];
}
