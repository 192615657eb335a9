/**
 * Channel names as names of stream queues.
 *
 * @module
 */

import { Buffer } from "node:buffer";

/**
 * What a queue's name and that of its virtual host have together at most, in bytes: the server
 * makes a folder of both and the time, and takes longer ones without ever storing anything.
 */
const LONGEST = 234;

/** What the server reserves, or drops from a name, and what stands before hexadecimal digits here. */
const RESERVED = /^a(?=mq\.)|[%\r\n]/g;

/**
 * The queue of a channel: the same, but for each `%`, a line break, and the
 * first letter of what begins with `amq.`, which become `%25`, `%0A`, `%61`.
 *
 * @throws {RangeError} If it is too long.
 */
export function queueOf(channel: string, vhost: string): string {
  const queue = channel.replace(
    RESERVED,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`,
  );
  const [length, longest] = [Buffer.byteLength(queue), LONGEST - Buffer.byteLength(vhost)];
  if (length <= longest) return queue;
  throw new RangeError(
    `Cannot use channel "${channel}" on amqp-stream: its queue's name has ${length} bytes, the limit is ${longest}`,
  );
}
