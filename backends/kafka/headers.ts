/**
 * Message headers as Kafka record headers.
 *
 * @module
 */

import { headersOf, lengthOfHeaders, type MessageHeaders } from "../../core/backend/headers.ts";
import type { Message } from "./kafkajs.ts";

/** What surrounds a name and its value in a record, at most. */
const OVERHEAD = 8;

/** What headers add to a record, in bytes. */
export function weightOf(headers: MessageHeaders | undefined): number {
  return lengthOfHeaders(headers, OVERHEAD);
}

/** That a record is too long, in words. */
export function excess(headers: MessageHeaders | undefined): string {
  return headers ? "the payload and its headers exceed" : "the payload exceeds";
}

/** The headers of a record, whoever has written it. */
export function headersFrom({ headers = {} }: Message): MessageHeaders | undefined {
  let entries: [string, unknown][] | undefined;
  for (const name in headers) (entries ??= []).push([name, lastOf(headers[name])]);
  return entries && headersOf(entries);
}

/** What a record weighs, in bytes. */
export function lengthOf({ value, headers = {} }: Message): number {
  let length = value?.length ?? 0;
  for (const name in headers) {
    const values = headers[name];
    for (const one of Array.isArray(values) ? values : [values]) {
      length += name.length + (one instanceof Uint8Array ? one.length : 0);
    }
  }
  return length;
}

/** kafkajs puts the values of a name that comes again into an array, and what objects inherit before. */
function lastOf(values: unknown): unknown {
  return Array.isArray(values) ? values.at(-1) : values;
}
