/**
 * What the documents say about each scheme. Tests compare it with the backends, and the tables of
 * the documents are made of it.
 */

/** What is said about a scheme. */
export interface Facts {
  /** The scheme, and its other name with TLS or as other clients write it. */
  readonly schemes: readonly [name: string, alias?: string];
  /** Its page, below `docs/brokers`. */
  readonly page: string;
  /** The packages that it loads. */
  readonly needs: string;
  readonly order: string;
  /** What the log keeps unless it is told otherwise; `none` without one. */
  readonly log: string;
  readonly patterns: "yes" | "yes, resumable" | "no";
  readonly payload: string;
  readonly channel: string;
  /** What can be lost without notice, as `tests/losses/claims.ts` shows it. */
  readonly loses: string;
  readonly headers: string;
  readonly keys: string;
  /** What its factory takes in place of connections of its own. */
  readonly client: string;
}

const IOREDIS = "`client`: a `Redis` or `Cluster` of `ioredis`";
const POSTGRES = "`sql`: what `postgres()` of `postgres` returns";
const AMQPLIB = "`client`: a connection of `amqplib`";

/** In the order of the table in `mod.ts`. */
export const FACTS: readonly Facts[] = [
  {
    schemes: ["memory"],
    page: "memory",
    needs: "nothing",
    order: "total",
    log: "1,000 events per channel (`?history=`)",
    patterns: "yes, resumable",
    payload: "any bytes",
    channel: "any",
    loses: "nothing",
    headers: "yes",
    keys: "yes, the last 100,000",
    client: "none",
  },
  {
    schemes: ["broadcast-channel"],
    page: "broadcast-channel",
    needs: "nothing",
    order: "per publisher",
    log: "none",
    patterns: "no",
    payload: "any bytes",
    channel: "any",
    loses: "messages that the platform loses between threads",
    headers: "no",
    keys: "no",
    client: "none",
  },
  {
    schemes: ["redis", "rediss"],
    page: "redis",
    needs: "`ioredis`",
    order: "total",
    log: "none",
    patterns: "yes",
    payload: "any bytes, 512 MB",
    channel: "any",
    loses: "messages lost on the way to a replica, or between nodes of a cluster before Redis 7",
    headers: "no",
    keys: "no",
    client: IOREDIS,
  },
  {
    schemes: ["redis-stream", "rediss-stream"],
    page: "redis",
    needs: "`ioredis`",
    order: "total",
    log: "about 10,000 events per channel (`?maxlen=`)",
    patterns: "no",
    payload: "any bytes, 512 MB",
    channel: "any",
    loses: "events not yet stored at a crash or a failover, unless already received",
    headers: "the other fields of the entry",
    keys: "yes, as Redis keys next to the stream",
    client: IOREDIS,
  },
  {
    schemes: ["postgres", "postgresql"],
    page: "postgres",
    needs: "`postgres`",
    order: "total, by commit",
    log: "none",
    patterns: "no",
    payload: "text without NUL, 7,999 bytes",
    channel: "63 bytes",
    loses: "nothing",
    headers: "no",
    keys: "no",
    client: POSTGRES,
  },
  {
    schemes: ["postgres-stream", "postgresql-stream"],
    page: "postgres",
    needs: "`postgres`",
    order: "total, by commit",
    log: "7 days (`?retention=`)",
    patterns: "yes",
    payload: "any bytes, 128 MiB",
    channel: "1,024 bytes",
    loses:
      "events not yet stored at a failover, or with `synchronous_commit=off` at a crash, unless already received",
    headers: "the column `headers`, a JSON object",
    keys: "yes, as rows of `broadcaster.keys`",
    client: POSTGRES,
  },
  {
    schemes: ["kafka"],
    page: "kafka",
    needs: "`kafkajs@2.2.4`",
    order: "per partition; total on topics that it creates",
    log: "as long as the topic keeps it",
    patterns: "yes",
    payload: "any bytes, 1 MB by default",
    channel: "a topic's: 249 of `A-Z a-z 0-9 . _ -`",
    loses: "events lost by an unclean leader election or a power cut, unless already received",
    headers: "record headers",
    keys: "no",
    client: "`client`: a `Kafka` of `kafkajs`",
  },
  {
    schemes: ["amqp", "amqps"],
    page: "rabbitmq",
    needs: "`amqplib`",
    order: "per publisher",
    log: "none",
    patterns: "yes",
    payload: "any bytes, 128 MiB",
    channel: "a routing key of 255 bytes",
    loses:
      "messages dropped by a queue's policy, unless a later message of the same publisher shows it",
    headers: "message headers",
    keys: "no",
    client: AMQPLIB,
  },
  {
    schemes: ["amqp-stream", "amqps-stream"],
    page: "rabbitmq",
    needs: "`amqplib`",
    order: "total",
    log: "7 days (`?retention=`)",
    patterns: "no",
    payload: "any bytes, 128 MiB",
    channel: "a queue of 233 bytes",
    loses: "events not yet stored at a crash of the machine, unless already received",
    headers: "message headers",
    keys: "no",
    client: AMQPLIB,
  },
  {
    schemes: ["mqtt", "mqtts"],
    page: "mqtt",
    needs: "`mqtt`",
    order: "per publisher",
    log: "none",
    patterns: "yes",
    payload: "any bytes, 256 MB",
    channel: "a topic of 65,535 bytes",
    loses:
      "messages dropped by a server or bridge, unless a later message of the same publisher shows it",
    headers: "user properties",
    keys: "no",
    client: "`client`: a client of `mqtt`",
  },
  {
    schemes: ["nats"],
    page: "nats",
    needs: "`@nats-io/transport-node`",
    order: "per publisher",
    log: "none",
    patterns: "yes",
    payload: "any bytes, 1 MiB by default",
    channel: "a subject of 2,048 bytes",
    loses: "messages lost between servers, unless a later message of the same publisher shows it",
    headers: "message headers, except `Nats-…`",
    keys: "no",
    client: "`client`: a connection of `@nats-io/transport-node`",
  },
  {
    schemes: ["nats-stream"],
    page: "nats",
    needs: "`@nats-io/transport-node`, `@nats-io/jetstream`",
    order: "total, over all channels",
    log: "7 days (`?retention=`)",
    patterns: "yes, resumable",
    payload: "any bytes, 1 MiB by default",
    channel: "a subject of 2,048 bytes",
    loses: "events not yet stored at a crash of the machine, unless already received",
    headers: "message headers, except `Nats-…`",
    keys: "yes, within the duplicate window of the stream: 5 minutes",
    client:
      "`client`: a connection of `@nats-io/transport-node`, and `jetstreamManager` of `@nats-io/jetstream`",
  },
];

/** The factory of a scheme: `redisStream` for `redis-stream`. */
export function factoryOf(scheme: string): string {
  return scheme.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
}
