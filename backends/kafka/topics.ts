/**
 * The topics of a cluster, and the brokers that lead their partitions.
 *
 * @module
 */

import { RefusedError } from "../../core/backend/errors.ts";
import type { Pattern } from "../../core/backend/pattern.ts";
import type { Cluster } from "./cluster.ts";
import { explain, type KafkaError, means } from "./errors.ts";
import { type Broker, describeAll, type Metadata } from "./kafkajs.ts";

/** A partition and the broker that leads it. */
export interface Lead {
  readonly partition: number;
  /** -1 if there is none. */
  readonly leader: number;
}

/** The topics of one cluster. */
export class Topics {
  /** Called with each topic that this process begins to use. */
  onFound: ((topic: string, leads: readonly Lead[]) => void) | undefined;
  readonly #cluster: Cluster;
  readonly #replication: number;
  readonly #leads = new Map<string, Promise<readonly Lead[]>>();

  /**
   * @param cluster The cluster.
   * @param replication The factor of new ones: -1 for the broker's default, 0 to create none.
   */
  constructor(cluster: Cluster, replication: number) {
    this.#cluster = cluster;
    this.#replication = replication;
  }

  /** The partitions of a topic, as last seen or as they are now. A missing topic is created. */
  async leads(topic: string, refresh = false): Promise<readonly Lead[]> {
    let leads = this.#leads.get(topic);
    if (!leads || refresh) {
      leads = this.#locate(topic);
      this.#leads.set(topic, leads);
      leads.catch(() => this.#leads.get(topic) === leads && this.#leads.delete(topic));
    }
    return await leads;
  }

  /** Forgets the partitions of a topic, or of all: they are looked up when needed again. */
  forget(topic?: string): void {
    if (topic === undefined) this.#leads.clear();
    else this.#leads.delete(topic);
  }

  /** The partitions of a topic as they are now. */
  async look(topic: string): Promise<readonly Lead[]> {
    const cluster = this.#cluster;
    const metadata: unknown = await cluster.request(() => cluster.seed.metadata([topic]));
    const { brokers, topicMetadata } = metadata as Metadata;
    cluster.learn(brokers);
    return topicMetadata[0] ? leadsOf(topicMetadata[0]) : [];
  }

  /** All topics as they are now. */
  async all(): Promise<ReadonlyMap<string, readonly Lead[]>> {
    const cluster = this.#cluster;
    const { brokers, topicMetadata } = await cluster.request(() => describeAll(cluster.seed));
    cluster.learn(brokers);
    return new Map(topicMetadata.map((topic) => [topic.topic, leadsOf(topic)]));
  }

  async #locate(topic: string): Promise<readonly Lead[]> {
    let isNew = false;
    const leads = await this.#cluster.settle(async () => {
      try {
        return await this.look(topic);
      } catch (error) {
        // The brokers do not all know of a new topic at once.
        if (means(error, "gone") && !isNew) {
          await this.#create(topic);
          isNew = true;
        }
        throw error;
      }
    });
    this.onFound?.(topic, leads);
    return leads;
  }

  async #create(topic: string): Promise<void> {
    const cluster = this.#cluster;
    const replicationFactor = this.#replication;
    if (replicationFactor === 0) {
      throw new RefusedError(`there is no topic "${topic}", and create=false`);
    }
    const topics = [{ topic, numPartitions: 1, replicationFactor }];
    const create = (broker: Broker) =>
      cluster.request(() => broker.createTopics({ topics, timeout: 5_000 }));
    try {
      await create(cluster.seed);
    } catch (error) {
      const cause = (error as KafkaError).errors?.[0] ?? error as KafkaError;
      if (means(cause, "elsewhere")) {
        // Only with ZooKeeper. kafkajs cannot ask for the metadata of no topic, so this asks for all.
        const { controllerId } = await cluster.request(() => describeAll(cluster.seed));
        await create(await cluster.node(controllerId));
      } else if (!means(cause, "exists")) throw explain(cause);
    }
  }
}

/**
 * Checks the name of a channel by the rules for topics.
 *
 * @throws {RangeError} If it is too long.
 * @throws {TypeError} If no topic can have it.
 */
export function checkName(channel: string): void {
  if (channel.length > 249) {
    throw new RangeError(
      `Cannot use channel "${channel}" on kafka: it has ${channel.length} characters, a topic at most 249`,
    );
  }
  if (!/^[\w.-]+$/.test(channel) || channel === "." || channel === "..") {
    throw new TypeError(
      `Cannot use channel "${channel}" on kafka: a topic has only the characters A-Z a-z 0-9 . _ -, and is neither "." nor ".."`,
    );
  }
}

/** Whether a topic matches a pattern: the brokers' own topics match none. */
export function isMatch(pattern: Pattern, topic: string): boolean {
  return !topic.startsWith("__") && pattern.matches(topic);
}

function leadsOf(
  { partitionMetadata }: Metadata["topicMetadata"][number],
): readonly Lead[] {
  return partitionMetadata
    .map(({ partitionId, leader }) => ({ partition: partitionId, leader }))
    .sort((one, other) => one.partition - other.partition);
}
