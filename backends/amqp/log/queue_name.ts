/**
 * Channel names as names of stream queues.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { nameOf } from "../../../core/backend/name.ts";

/**
 * The limit for the names of a queue and its virtual host together, in bytes. The server stores a
 * queue in a folder with both names and the time. It accepts longer names, but then stores nothing.
 */
const LONGEST = 234;

/**
 * Characters that the server reserves or drops in a name, and the character that starts an escape.
 */
const RESERVED = /^a(?=mq\.)|[%\r\n]/g;

/**
 * The queue of a channel: its name, with `%25` in place of each `%`, `%0A` and `%0D` in place of
 * line breaks, and `%61` in place of the first letter of a name that begins with `amq.`.
 *
 * @throws {RangeError} If the name is too long.
 */
export function queueOf(channel: string, vhost: string): string {
  const queue = channel.replace(
    RESERVED,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`,
  );
  const [length, longest] = [Buffer.byteLength(queue), LONGEST - Buffer.byteLength(vhost)];
  if (length <= longest) return queue;
  throw new RangeError(
    `Cannot use channel ${
      nameOf(channel)
    } on amqp-stream: its queue's name has ${length} bytes, the limit is ${longest}`,
  );
}
