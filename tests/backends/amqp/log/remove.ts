import { connect } from "amqplib";

/** Removes streams: each of them holds files open at the server, and none goes by itself. */
export async function removeStreams(url: string, queues: readonly string[]): Promise<void> {
  if (queues.length === 0) return;
  const client = await connect(url, { noDelay: true });
  const lane = await client.createChannel();
  for (const queue of queues) await lane.deleteQueue(queue);
  await client.close();
}
