/**
 * Wakes with the entry that they announce, and the place of the previous entry.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { BackendRecord, Payload } from "../../../core/backend/contract.ts";
import { fingerprintOf, fingerprintOfHead, HEAD } from "../../../core/backend/kit/fingerprint.ts";
import { comparePlaces, type Place } from "../../../core/backend/position.ts";
import { FIELD, headersIn, recordAt } from "./record.ts";

/** The largest wake that is parsed, in bytes. */
const LARGEST = 16 * 1024;

const [NEWLINE, SPACE, DASH, ZERO] = [0x0a, 0x20, 0x2d, 0x30];

/** An entry that a wake carries. */
export interface CarriedEntry {
  /** The entry. */
  readonly item: BackendRecord;
  /** The place of the previous entry when it was added. */
  readonly before: Place;
}

/**
 * Adds an entry, and publishes it as a wake: a line of numbers, the hashed part of the previous
 * entry's payload, the payload, and the names and values of headers. The numbers are the id, the
 * previous id, the length of the previous payload, and the lengths of the payload and of the rest.
 * The wake is empty if there is no previous entry, or if its payload is not its first field.
 *
 * The answer depends only on XADD, since a wake is a hint. Without an entry, the script adds
 * nothing, and answers 1 if it may read the stream and publish its wake.
 *
 * @param add The arguments of XADD between the key and the payload.
 * @param publish The command that publishes.
 */
export function scriptOf(add: readonly (string | number)[], publish: string): string {
  return `local wake, entries = "", redis.pcall("XREVRANGE", KEYS[1], "+", "-", "COUNT", 1)
if not ARGV[2] then
  local heard = redis.pcall('${publish}', ARGV[1], wake)
  return (entries.err or type(heard) == "table") and 0 or 1
end
local id = redis.pcall("XADD", KEYS[1], ${add.map((argument) => `'${argument}'`)}, unpack(ARGV, 3))
if type(id) == "table" then return id end
local last = entries[1]
if last and last[2][1] == '${FIELD}' then
  local payload = last[2][2]
  wake = id .. " " .. last[1] .. " " .. #payload .. ARGV[2] .. "\\n" ..
    string.sub(payload, 1, ${HEAD}) .. table.concat(ARGV, "", 3)
end
redis.pcall('${publish}', ARGV[1], wake)
return id`;
}

/** The lengths of a payload and its headers, as an argument of the script. */
export function lengthsOf(parts: readonly (string | Buffer)[]): string {
  let lengths = "";
  for (const part of parts) lengths += ` ${Buffer.byteLength(part)}`;
  return lengths;
}

/** The entry of a wake, or `undefined` if it has none. Anyone may have published the wake. */
export function entryIn(wake: Payload): CarriedEntry | undefined {
  if (!Buffer.isBuffer(wake) || wake.length > LARGEST) return undefined;
  const numbers = [0, 0, 0, 0, 0, 0];
  let at = lineOf(wake, numbers);
  if (at === 0 || numbers.length % 2 !== 0 || !numbers.every(Number.isSafeInteger)) {
    return undefined;
  }
  const [size, sizeBefore] = [numbers[5]!, numbers[4]!];
  const fingerprintBefore = fingerprintOfHead(wake, sizeBefore, "", at);
  const payload = wake.subarray(at += Math.min(sizeBefore, HEAD), at += size);
  const headers: Buffer[] = [];
  for (let index = 6; index < numbers.length; index++) {
    headers.push(wake.subarray(at, at += numbers[index]!));
  }
  const [time, sub, timeBefore, subBefore] = numbers as [number, number, number, number];
  const place = { shard: 0, at: time, sub, fingerprint: fingerprintOf(payload) };
  const before = { shard: 0, at: timeBefore, sub: subBefore, fingerprint: fingerprintBefore };
  if (at !== wake.length || comparePlaces(place, before) <= 0) return undefined;
  const item = recordAt(place, payload, headers.length > 0 ? headersIn(headers) : undefined);
  return { item, before };
}

/**
 * Reads the numbers of the first line. Returns the end of the line, or 0 if it has fewer than six.
 */
function lineOf(wake: Buffer, numbers: number[]): number {
  let [count, number] = [0, -1];
  for (let index = 0; index < wake.length; index++) {
    const byte = wake[index]!;
    if (byte >= ZERO && byte < ZERO + 10) number = Math.max(number, 0) * 10 + byte - ZERO;
    else if (number < 0 || byte !== SPACE && byte !== DASH && byte !== NEWLINE) return 0;
    else {
      numbers[count++] = number;
      number = -1;
      if (byte === NEWLINE) return count < 6 ? 0 : index + 1;
    }
  }
  return 0;
}

/** Whether two places may be of the same entry. */
export function isSameEntry(one: Place | undefined, other: Place | undefined): boolean {
  return one !== undefined && other !== undefined && comparePlaces(one, other) === 0 &&
    one.fingerprint === other.fingerprint && one.fingerprint !== "";
}
