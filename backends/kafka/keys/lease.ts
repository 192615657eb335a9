/**
 * The exclusive right to publish with keys to a topic.
 *
 * It is an open transaction, without a record in it. Who begins one under the same
 * transactional id makes its coordinator abort that of the owner before; and where
 * a marker of that lies in the partition, the leader refuses all that the owner
 * before has sent and it has not stored yet. So nothing is added any more by
 * somebody else once `acquire()` has resolved, whatever became of them: what they
 * have stored lies before the end of the log as it is then.
 *
 * @module
 */

import { ConnectionError } from "../../../core/backend/errors.ts";
import type { Cluster } from "../cluster.ts";
import { type KafkaError, UnreachableError } from "../errors.ts";
import type { Producer } from "../kafkajs.ts";
import { hash } from "../partitioner.ts";
import type { Lead } from "../topics.ts";

/** What `findGroupCoordinator` takes for a transactional id. */
const TRANSACTION = 1;
/** Brokers end a lease that is as old, in milliseconds: what producers in Java have, too. */
const TIMEOUT = 60_000;
/** How long coordinators may take to be elected, and to end the lease before. */
const PATIENCE = 10_000;
/** There is no coordinator that could be asked. */
const NO_COORDINATOR = "GROUP_COORDINATOR_NOT_AVAILABLE";
/** What a coordinator answers that is not ready. */
const BUSY = new Set([
  NO_COORDINATOR,
  "CONCURRENT_TRANSACTIONS",
  "GROUP_LOAD_IN_PROGRESS",
  "NOT_COORDINATOR_FOR_GROUP",
]);
/** What is answered to those whose lease has ended. */
const LOST = new Set([
  "INVALID_PRODUCER_EPOCH",
  "INVALID_PRODUCER_ID_MAPPING",
  "INVALID_TXN_STATE",
  "OUT_OF_ORDER_SEQUENCE_NUMBER",
  "UNKNOWN_PRODUCER_ID",
  "TRANSACTION_COORDINATOR_FENCED",
]);

/** The right of one publisher. */
export interface Lease {
  /** Where it was given: it ends with these connections. */
  readonly cluster: Cluster;
  /** All partitions of the topic. */
  readonly leads: readonly Lead[];
  /** The one that may be written to. */
  readonly lead: Lead;
  /** What batches have to name. */
  readonly producer: Producer;
  /** How many records were written. */
  sequence: number;
}

/** Whether a broker refused because the lease has ended: nothing was stored. */
export function isLost(error: unknown): boolean {
  return LOST.has((error as KafkaError).type ?? "");
}

/** Takes the lease of a topic, which is created if it is missing, from whoever has it. */
export async function acquire(cluster: Cluster, topic: string): Promise<Lease> {
  const leads = await cluster.topics.leads(topic, true);
  const lead = leads[hash(topic) % leads.length]!;
  const transactionalId = `broadcaster:${topic}`;
  const topics = [{ topic, partitions: [lead.partition] }];
  const deadline = Date.now() + PATIENCE;
  for (let attempt = 0;; attempt++) {
    try {
      const { coordinator } = await cluster.request(() =>
        cluster.seed.findGroupCoordinator({
          groupId: transactionalId,
          coordinatorType: TRANSACTION,
        })
      );
      cluster.learn([coordinator]);
      const broker = await cluster.node(coordinator.nodeId);
      const { producerId, producerEpoch } = await cluster.request(() =>
        broker.initProducerId({ transactionalId, transactionTimeout: TIMEOUT })
      );
      const producer = { producerId, producerEpoch };
      await cluster.request(() =>
        broker.addPartitionsToTxn({ transactionalId, ...producer, topics })
      );
      return { cluster, leads, lead, producer, sequence: 0 };
    } catch (error) {
      if (!isBusy(error)) throw explain(error, transactionalId);
      if (Date.now() > deadline) throw late(error as KafkaError);
    }
    await cluster.pause(Math.min(2 ** (attempt + 1), 100));
  }
}

function isBusy(error: unknown): boolean {
  return error instanceof UnreachableError || BUSY.has((error as KafkaError).type ?? "");
}

function late(cause: KafkaError): Error {
  const { type, message } = cause;
  if (type !== NO_COORDINATOR) return new ConnectionError(message, { cause });
  return new Error(
    "keys need transactions, which no broker coordinates; is transaction.state.log.replication.factor larger than the cluster?",
    { cause },
  );
}

function explain(cause: unknown, transactionalId: string): unknown {
  if ((cause as KafkaError).type !== "TRANSACTIONAL_ID_AUTHORIZATION_FAILED") return cause;
  return new Error(
    `keys need the right to write to transactional id "${transactionalId}"`,
    { cause },
  );
}
