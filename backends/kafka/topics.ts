/**
 * The topics of a cluster, and the brokers that lead their partitions.
 *
 * @module
 */

import { RefusedError } from "../../core/backend/errors.ts";
import type { Pattern } from "../../core/backend/pattern.ts";
import type { Cluster } from "./cluster.ts";
import { explain, isGone, type KafkaError } from "./errors.ts";
import { type Broker, describeAll, type Metadata } from "./kafkajs.ts";

/** A partition and the broker that leads it. */
export interface Lead {
  readonly partition: number;
  /** -1 if there is none. */
  readonly leader: number;
}

/** The topics of one cluster. */
export class Topics {
  /** Told of each topic that this process comes to use. */
  onFound: ((topic: string, leads: readonly Lead[]) => void) | undefined;
  readonly #cluster: Cluster;
  readonly #replication: number;
  readonly #leads = new Map<string, Promise<readonly Lead[]>>();

  /**
   * @param cluster Where they are.
   * @param replication The factor of new ones, -1 for the broker's default, 0 to create none.
   */
  constructor(cluster: Cluster, replication: number) {
    this.#cluster = cluster;
    this.#replication = replication;
  }

  /** The partitions of a topic, which is created if it is missing; as last seen, or as now. */
  async leads(topic: string, refresh = false): Promise<readonly Lead[]> {
    let leads = this.#leads.get(topic);
    if (!leads || refresh) {
      leads = this.#locate(topic);
      this.#leads.set(topic, leads);
      leads.catch(() => this.#leads.get(topic) === leads && this.#leads.delete(topic));
    }
    return await leads;
  }

  /** Looks for the partitions of a topic, or of all, again when they are needed. */
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
        // A topic that was just created is not known everywhere at once.
        if (isGone(error) && !isNew) {
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
      if (cause.type === "NOT_CONTROLLER") {
        // Only with ZooKeeper. Metadata of no topic cannot be asked for, so this asks for all.
        const { controllerId } = await cluster.request(() => describeAll(cluster.seed));
        await create(await cluster.node(controllerId));
      } else if (cause.type !== "TOPIC_ALREADY_EXISTS") throw explain(cause);
    }
  }
}

/**
 * Holds the name of a channel against the rules for topics.
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

/** Whether a pattern stands for a topic: never for one of the brokers' own. */
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
