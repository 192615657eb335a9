/** What ends in the middle of something, and leaves nothing behind. */

import { Buffer } from "node:buffer";
import { assertRejects } from "@std/assert";
import { connect } from "amqplib";
import type { Socket } from "node:net";
import { Address } from "../../address.ts";
import { open } from "../../backends/amqp_stream.ts";
import { ConnectionError } from "../../errors.ts";
import { Position } from "../../position.ts";
import { numbered } from "../conformance/harness.ts";
import { Stream } from "./stream.ts";

export function endings(url: string): void {
  Deno.test("amqp-stream: a connection that is lost while a page is marked ends the page, and nothing else", async () => {
    await using stream = await Stream.open(url);
    await stream.make();
    await stream.publish("event");
    for (const mark of numbered(40)) {
      stream.lane.sendToQueue(stream.name, Buffer.of(), { headers: { "broadcaster-mark": mark } });
    }
    await stream.lane.waitForConfirms();
    const client = await connect(url);
    client.on("error", () => {});
    const { stream: socket } = client.connection as unknown as { stream: Socket };
    const createConfirmChannel = client.createConfirmChannel.bind(client);
    let isCutting = false;
    client.createConfirmChannel = async () => {
      const lane = await createConfirmChannel();
      const publish = lane.publish.bind(lane);
      lane.publish = (...message) => {
        if (isCutting) socket.destroy(new Error("cut"));
        return publish(...message);
      };
      return lane;
    };
    const backend = await open(new Address("amqp-stream://"), { client });
    await backend.connect!();
    const [event] = (await backend.read!(stream.name, { limit: 1 })).items;
    isCutting = true;
    // It reads what is known before it asks where the end is.
    const after = Position.of(event!.place!);
    await assertRejects(() => backend.read!(stream.name, { after, limit: 1 }), ConnectionError);
    await backend.close();
  });
}
