/**
 * The hash slot of a key.
 *
 * @module
 */

/** How many there are. */
export const SLOTS = 16_384;

const encoder = new TextEncoder();

/** CRC-16/XMODEM, of each byte. */
const TABLE = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8;
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1;
  return crc;
});

/** The slot of a key or a channel: that of what is in its first braces, if there is something. */
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

/** Where the cluster says that something is. */
export interface Redirection {
  /**
   * `ASK` concerns one command only: its slot is about to move, its key has done so.
   * `TRYAGAIN` tells of one that has several keys, of which some have and some have not.
   */
  readonly kind: "MOVED" | "ASK" | "TRYAGAIN";
  readonly slot: number;
  /** Empty for the node that has answered. */
  readonly hostname: string;
  readonly port: number;
}

const REDIRECTION = /^(?:(MOVED|ASK) (\d+) (.*):(\d+)|(TRYAGAIN) .*)$/;

/**
 * What a reply says of where to ask instead, alone or in a transaction. One error deep: ioredis
 * may list the error of a transaction among its own `previousErrors`.
 */
export function redirectionOf(error: unknown): Redirection | undefined {
  const { message, previousErrors } = Object(error) as Error & { previousErrors?: Error[] };
  const match = REDIRECTION.exec(message ?? "") ??
    REDIRECTION.exec(previousErrors?.[0]?.message ?? "");
  if (!match) return undefined;
  const [, moved, slot, hostname, port, again] = match;
  return {
    kind: (moved ?? again) as Redirection["kind"],
    slot: Number(slot),
    hostname: hostname!,
    port: Number(port),
  };
}
