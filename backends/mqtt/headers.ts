/**
 * Message headers as MQTT user properties.
 *
 * @module
 */

import { headersOf, lengthOfHeaders, type MessageHeaders } from "../../core/backend/headers.ts";
import { nameOf } from "../../core/backend/name.ts";
import { quote } from "../../core/util/quote.ts";

/** The size of a user property without its name and its value, in bytes. */
const AROUND = 5;

/** User properties, as the client represents them. */
type UserProperties = Readonly<Record<string, string | readonly string[]>>;

/** The size of headers in a packet, in bytes. */
export function lengthOf(headers: MessageHeaders | undefined): number {
  return lengthOfHeaders(headers, AROUND);
}

/** The headers of a message, without the library's own. */
export function headersIn(properties: UserProperties | undefined): MessageHeaders | undefined {
  if (!properties) return undefined;
  return headersOf(
    Object.entries(properties).map(([name, value]) =>
      [name, typeof value === "string" ? value : value.at(-1)] as const
    ),
  );
}

/**
 * Rejects headers for which a server would close the connection.
 *
 * @throws {TypeError} If a header has a noncharacter code point.
 */
export function checkHeaders(channel: string, headers: MessageHeaders | undefined): void {
  for (const name in headers) {
    if (!/\p{Noncharacter_Code_Point}/u.test(headers[name]!)) continue;
    throw new TypeError(
      `Cannot publish to ${nameOf(channel)} on mqtt: header ${
        quote(name)
      } has a noncharacter code point`,
    );
  }
}
