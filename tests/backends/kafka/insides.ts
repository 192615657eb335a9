/** The parts of a backend, for cases that look at them. */

import { Cluster } from "../../../backends/kafka/cluster.ts";
import { clusterFactory } from "../../../backends/kafka/kafkajs.ts";
import { Reader } from "../../../backends/kafka/log/reader.ts";
import { Writer } from "../../../backends/kafka/log/writer.ts";
import type { Outsider } from "./outsider.ts";

/** The insides of a backend, which looks for new partitions ten times in a second. */
export async function openInsides(outsider: Outsider) {
  const kafka = clusterFactory(outsider.kafka)();
  const cluster = new Cluster(kafka, { seeds: undefined, replication: -1 });
  await cluster.connect();
  const reader = new Reader(cluster, 100);
  return {
    cluster,
    reader,
    writer: new Writer(() => Promise.resolve(cluster)),
    async [Symbol.asyncDispose]() {
      await reader.close();
    },
  };
}
