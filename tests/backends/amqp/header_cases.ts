/** Headers that RabbitMQ reserves, that are free, and that other programs may send. */

import { assertEquals, assertRejects } from "@std/assert";
import type { Broadcast } from "../../../mod.ts";

/** What RabbitMQ goes by, sets or drops. */
export const RESERVED = [
  ...["CC", "BCC", "x-cc", "x-exchange", "x-routing-key", "x-delay"],
  ...["timestamp_in_ms", "x-routed-by", "x-delivery-count", "x-stream-offset"],
  ...["x-death", "x-first-death-queue", "x-last-death-reason", "x-stream-filter-value"],
  ...[
    "x-received-from",
    "x-shovelled",
    "x-shovelled-timestamp",
    "x-mqtt-publish-qos",
    "x-mqtt-dup",
  ],
  ...["x-basic-type", "x-opt-deaths", "x-amqp-1.0-properties"],
];

/** What looks like that, and is anybody's. */
export const FREE: Readonly<Record<string, string>> = {
  ...{ "x-request-id": "1", "x-correlation-id": "2", "x-match": "all", "x-priority": "9" },
  ...{ "X-Death": "3", cc: "4", "x-deaths": "5", "my-x-death": "6", "x-delayed": "7", "!": "8" },
};

/** What a stranger may put into a table, and what arrives of it. */
export const STRANGE = {
  given: Object.fromEntries<unknown>([
    ["text", " spaces, a \0 and a \uFEFF"],
    ["number", 5],
    ["fraction", -1.5],
    ["yes", true],
    ["bytes", Buffer.from("é")],
    ["broken", Buffer.of(0xff)],
    ["nothing", null],
    ["list", ["a"]],
    ["table", { a: "b" }],
    ["moment", { "!": "timestamp", value: 1_700_000_000 }],
    ["decimal", { "!": "decimal", value: { digits: 1, places: 2 } }],
    ["x-first-death-reason", "expired"],
    ["x-delivery-count", 2],
    ["broadcaster-other", "ours"],
    ["broadcaster-sequence", 7],
    ["constructor", "c"],
    ["__proto__", { polluted: "yes", "broadcaster-sequence": "abcdefghijkl:9" }],
  ]),
  arrives: {
    text: " spaces, a \0 and a \uFEFF",
    number: "5",
    fraction: "-1.5",
    yes: "true",
    bytes: "é",
    constructor: "c",
  },
};

/** Each of them is refused, and nothing else goes wrong. */
export async function refusesReserved(
  broadcast: Broadcast,
  channel: string,
  name: string,
): Promise<void> {
  for (const header of RESERVED) {
    const error = await assertRejects(
      () => broadcast.publish(channel, "m", { headers: { [header]: "v" } }),
      TypeError,
    );
    assertEquals(
      error.message,
      `Cannot publish to "${channel}" on ${name}: header "${header}" is reserved`,
    );
  }
}
