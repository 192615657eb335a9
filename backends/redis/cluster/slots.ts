/**
 * The hash slot of a key.
 *
 * @module
 */

/** The number of slots. */
export const SLOTS = 16_384;

const encoder = new TextEncoder();

/** CRC-16/XMODEM, of each byte. */
const TABLE = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8;
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1;
  return crc;
});

/** The slot of a key or a channel. Only the text in its first braces counts, if there is any. */
export function slotOf(name: string): number {
  const from = name.indexOf("{");
  const to = from < 0 ? -1 : name.indexOf("}", from + 1);
  const tag = to > from + 1 ? name.slice(from + 1, to) : name;
  let crc = 0;
  for (const byte of encoder.encode(tag)) {
    crc = (crc << 8 ^ TABLE[(crc >> 8 ^ byte) & 0xff]!) & 0xffff;
  }
  return crc % SLOTS;
}
