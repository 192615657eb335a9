/**
 * Facts about a Kafka cluster.
 *
 * @module
 */

import type { ServerFacts } from "../../core/backend/contract.ts";
import { tlsVersionOf } from "../../core/backend/kit/tls_version.ts";
import { type Broker, describe } from "./kafkajs.ts";

/** The API keys of the requests that show the version. */
const PRODUCE = 0;
const FETCH = 1;
const LIST_OFFSETS = 2;

/**
 * The first release that has a version of a request, newest release first. A broker sends the
 * versions of its requests, but not its own.
 */
const RELEASES: readonly (readonly [release: string, key: number, version: number])[] = [
  ["4.2", LIST_OFFSETS, 11],
  ["4.1", FETCH, 18],
  ["4.0", LIST_OFFSETS, 10],
  ["3.9", FETCH, 17],
  ["3.8", PRODUCE, 11],
  ["3.7", FETCH, 16],
  ["3.5", FETCH, 15],
  ["3.1", FETCH, 13],
  ["3.0", LIST_OFFSETS, 7],
  ["2.8", PRODUCE, 9],
  ["2.7", FETCH, 12],
];

/** The facts about a broker and its cluster. */
export async function factsOf(broker: Broker): Promise<ServerFacts> {
  const { connectionPool: { pool: [{ socket }], sasl } } = broker;
  const versions = await broker.apiVersions();
  const { metadata: { brokers } } = await describe(broker);
  const release = RELEASES.find(([, key, version]) => (versions[key]?.maxVersion ?? -1) >= version);
  return {
    server: `Kafka, with the protocol of ${release ? `${release[0]} or later` : "2.6 or earlier"}`,
    brokers: brokers.map(({ host, port }) => `${host}:${port}`).join(", "),
    ...sasl?.username !== undefined && { user: sasl.username },
    TLS: tlsVersionOf(socket),
  };
}
