/**
 * The topics of a cluster, and the brokers that lead their partitions.
 *
 * @module
 */

import { RefusedError } from "../../core/backend/errors.ts";
import { nameOf } from "../../core/backend/name.ts";
import type { Pattern } from "../../core/backend/pattern.ts";
import { quote } from "../../core/util/quote.ts";
import type { Cluster } from "./cluster.ts";
import { explain, type KafkaError, means } from "./errors.ts";
import { type Broker, describe, type Metadata } from "./kafkajs.ts";
import { endsOf } from "./offsets.ts";
import { Together } from "../../core/backend/kit/together.ts";

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
  /** New topics. Their leaders may not know of them yet, and would refuse messages. */
  readonly #new = new Set<string>();
  readonly #looks = new Together((topics) => this.#describe(topics));
  readonly #creations = new Together((topics) => this.#createAll(topics));

  /**
   * @param cluster The cluster.
   * @param replication The replication factor of new topics: -1 for the broker's default, 0 to
   * create none.
   */
  constructor(cluster: Cluster, replication: number) {
    this.#cluster = cluster;
    this.#replication = replication;
  }

  /** The partitions of a topic, as last seen, or as they are now. A missing topic is created. */
  async leads(topic: string, refresh = false): Promise<readonly Lead[]> {
    let leads = this.#leads.get(topic);
    if (!leads || refresh) {
      leads = this.#locate(topic);
      this.#leads.set(topic, leads);
      leads.catch(() => this.#leads.get(topic) === leads && this.#leads.delete(topic));
    }
    return await leads;
  }

  /** Forgets the partitions of a topic, or of all topics. They are looked up again when needed. */
  forget(topic?: string): void {
    if (topic === undefined) this.#leads.clear();
    else this.#leads.delete(topic);
  }

  /** The partitions of a topic as they are now. */
  async look(topic: string): Promise<readonly Lead[]> {
    return await (await this.#looks.ask(topic))(topic);
  }

  /** All topics as they are now. */
  async all(): Promise<ReadonlyMap<string, readonly Lead[]>> {
    const cluster = this.#cluster;
    const { metadata } = await cluster.request(() => describe(cluster.seed));
    cluster.learn(metadata.brokers);
    return new Map(metadata.topicMetadata.map((topic) => [topic.topic, leadsOf(topic)]));
  }

  async #describe(
    topics: readonly string[],
  ): Promise<(topic: string) => Promise<readonly Lead[]>> {
    const cluster = this.#cluster;
    const { metadata, verify } = await cluster.request(() => describe(cluster.seed, topics));
    cluster.learn(metadata.brokers);
    const found = new Map(metadata.topicMetadata.map((topic) => [topic.topic, topic]));
    return async (name) => {
      const topic = found.get(name);
      if (!topic) return [];
      await verify(topic);
      return leadsOf(topic);
    };
  }

  async #locate(topic: string): Promise<readonly Lead[]> {
    const leads = await this.#cluster.settle(async () => {
      try {
        const leads = await this.look(topic);
        if (this.#new.has(topic)) await endsOf(this.#cluster, new Map([[topic, leads]]));
        this.#new.delete(topic);
        return leads;
      } catch (error) {
        // Not all brokers know a new topic at once.
        if (means(error, "gone") && !this.#new.has(topic) && await this.#create(topic)) {
          this.#new.add(topic);
        }
        throw error;
      }
    });
    this.onFound?.(topic, leads);
    return leads;
  }

  /** Creates a topic. Returns `false` if the broker did not do that in time. It may still do it. */
  async #create(topic: string): Promise<boolean> {
    if (this.#replication === 0) {
      throw new RefusedError(`there is no topic ${quote(topic)}, and create=false`);
    }
    const cause = (await this.#creations.ask(topic)).get(topic);
    if (!cause || means(cause, "exists")) return true;
    if (means(cause, "doubt")) return false;
    throw explain(cause);
  }

  /** Creates topics. Returns the errors of the topics that could not be created. */
  async #createAll(names: readonly string[]): Promise<ReadonlyMap<string, KafkaError>> {
    const cluster = this.#cluster;
    const replicationFactor = this.#replication;
    const topics = names.map((topic) => ({ topic, numPartitions: 1, replicationFactor }));
    const create = async (broker: Broker) => {
      try {
        await cluster.request(() => broker.createTopics({ topics, timeout: 5_000 }));
        return [];
      } catch (error) {
        const { errors } = error as KafkaError;
        if (!errors) throw error;
        return errors;
      }
    };
    let errors = await create(cluster.seed);
    if (errors.some((error) => means(error, "elsewhere"))) {
      // Only with ZooKeeper. kafkajs cannot request metadata without topics, so this requests all
      // topics.
      const { metadata } = await cluster.request(() => describe(cluster.seed));
      errors = await create(await cluster.node(metadata.controllerId));
    }
    return new Map(errors.map((error) => [error.topic!, error]));
  }
}

/**
 * Checks the name of a channel by the rules for topics.
 *
 * @throws {RangeError} If the name is too long.
 * @throws {TypeError} If no topic can have the name.
 */
export function checkName(channel: string): void {
  if (channel.length > 249) {
    throw new RangeError(
      `Cannot use channel ${
        nameOf(channel)
      } on kafka: it has ${channel.length} characters, a topic at most 249`,
    );
  }
  if (!/^[\w.-]+$/.test(channel) || channel === "." || channel === "..") {
    throw new TypeError(
      `Cannot use channel ${
        nameOf(channel)
      } on kafka: a topic has only the characters A-Z a-z 0-9 . _ -, and is neither "." nor ".."`,
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
