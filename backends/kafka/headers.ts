/**
 * Message headers as Kafka record headers.
 *
 * @module
 */

import { headersOf, lengthOfHeaders, type MessageHeaders } from "../../core/backend/headers.ts";
import type { Message } from "./kafkajs.ts";
import { isBytes } from "../../core/util/realm.ts";

/** The maximum overhead of a header in a record, in bytes. */
const OVERHEAD = 8;

/** The bytes that headers add to a record. */
export function weightOf(headers: MessageHeaders | undefined): number {
  return lengthOfHeaders(headers, OVERHEAD);
}

/** The description of a record that is too long. */
export function excess(headers: MessageHeaders | undefined): string {
  return headers ? "the payload and its headers exceed" : "the payload exceeds";
}

/** The headers of a record of any publisher. */
export function headersFrom({ headers = {} }: Message): MessageHeaders | undefined {
  let entries: [string, unknown][] | undefined;
  for (const name in headers) (entries ??= []).push([name, lastOf(headers[name])]);
  return entries && headersOf(entries);
}

/** The size of a record, in bytes. */
export function lengthOf({ value, headers = {} }: Message): number {
  let length = value?.length ?? 0;
  for (const name in headers) {
    const values = headers[name];
    for (const one of Array.isArray(values) ? values : [values]) {
      length += name.length + (isBytes(one) ? one.length : 0);
    }
  }
  return length;
}

/**
 * The last value. kafkajs makes an array of a repeated name. The array begins with an inherited
 * property of that name, if there is one.
 */
function lastOf(values: unknown): unknown {
  return Array.isArray(values) ? values.at(-1) : values;
}
