/**
 * Rejects MessagePack that claims more values than it has bytes, has too many, or is nested too
 * deeply.
 *
 * @module
 */

/** The maximum nesting of a message. */
export const DEEPEST = 100;

/**
 * The maximum number of values in a message, including the keys of objects. An empty object is one
 * byte, but more than sixty bytes in memory.
 */
export const MOST_VALUES = 1_000_000;

/** The number of bytes after a first byte, or the size of its length field. */
const FIXED: Readonly<Record<number, number>> = {
  ...{ 0xca: 4, 0xcb: 8, 0xcc: 1, 0xcd: 2, 0xce: 4, 0xcf: 8, 0xd0: 1, 0xd1: 2, 0xd2: 4, 0xd3: 8 },
  ...{ 0xd4: 2, 0xd5: 3, 0xd6: 5, 0xd7: 9, 0xd8: 17 },
};
const COUNTED: Readonly<Record<number, readonly [size: number, extra: number]>> = {
  ...{ 0xc4: [1, 0], 0xc5: [2, 0], 0xc6: [4, 0], 0xc7: [1, 1], 0xc8: [2, 1], 0xc9: [4, 1] },
  ...{ 0xd9: [1, 0], 0xda: [2, 0], 0xdb: [4, 0] },
};

/**
 * Checks a payload before it is decoded, since four bytes can claim four billion values.
 *
 * The format: https://github.com/msgpack/msgpack/blob/master/spec.md
 *
 * @throws {RangeError} If the payload claims more values than it has bytes, has too many values, or
 * is nested too deeply.
 */
export function checkClaims(bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  /** The number of values that each open container still needs. */
  const open: number[] = [];
  let claimed = 0;
  for (let at = 0; at < bytes.length;) {
    const first = bytes[at++]!;
    const values = first >= 0x80 && first <= 0x8f
      ? (first & 0x0f) * 2
      : first >= 0x90 && first <= 0x9f
      ? first & 0x0f
      : first >= 0xdc && first <= 0xdf
      ? (first & 1 ? long(view, at) : short(view, at)) * (first >= 0xde ? 2 : 1)
      : undefined;
    if (values !== undefined) {
      if (first >= 0xdc) at += first & 1 ? 4 : 2;
      claimed += values;
      if (claimed > bytes.length) {
        throw new RangeError("Cannot decode MessagePack: it claims more values than it has bytes");
      }
      if (claimed > MOST_VALUES) {
        throw new RangeError(`Cannot decode MessagePack: it has more than ${MOST_VALUES} values`);
      }
      if (values > 0) {
        if (open.push(values) > DEEPEST) {
          throw new RangeError(`Cannot decode MessagePack: it is more than ${DEEPEST} deep`);
        }
        continue;
      }
    } else at += lengthOf(view, first, at);
    while (open.length > 0 && --open[open.length - 1]! === 0) open.pop();
  }
}

/** The number of bytes after the first byte of a value that is not a container. */
function lengthOf(view: DataView, first: number, at: number): number {
  if (first >= 0xa0 && first <= 0xbf) return first & 0x1f;
  const counted = COUNTED[first];
  if (!counted) return FIXED[first] ?? 0;
  const [size, extra] = counted;
  const length = size === 1 ? byte(view, at) : size === 2 ? short(view, at) : long(view, at);
  return size + extra + length;
}

/** A read past the end returns 0, since the decoder reports truncated payloads. */
function byte(view: DataView, at: number): number {
  return at + 1 <= view.byteLength ? view.getUint8(at) : 0;
}

function short(view: DataView, at: number): number {
  return at + 2 <= view.byteLength ? view.getUint16(at) : 0;
}

function long(view: DataView, at: number): number {
  return at + 4 <= view.byteLength ? view.getUint32(at) : 0;
}
