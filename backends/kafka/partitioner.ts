/**
 * The partition of a key, as Kafka's default partitioner computes it.
 *
 * @module
 */

import { Buffer } from "node:buffer";

/**
 * The hash by which publishers of all languages choose a key's partition: 32-bit
 * murmur2, positive, as in Kafka's own `Utils.murmur2` and `toPositive`.
 */
export function hash(key: string): number {
  const bytes = Buffer.from(key);
  const whole = bytes.length - bytes.length % 4;
  let hash = 0x9747b28c ^ bytes.length;
  for (let index = 0; index < whole; index += 4) {
    const word = Math.imul(bytes.readInt32LE(index), 0x5bd1e995);
    hash = Math.imul(hash, 0x5bd1e995) ^ Math.imul(word ^ (word >>> 24), 0x5bd1e995);
  }
  if (whole < bytes.length) {
    const rest = bytes.readUIntLE(whole, bytes.length - whole);
    hash = Math.imul(hash ^ rest, 0x5bd1e995);
  }
  hash = Math.imul(hash ^ (hash >>> 13), 0x5bd1e995);
  return (hash ^ (hash >>> 15)) & 0x7fffffff;
}
