/**
 * What can be lost without notice on each broker, as the documents' table has it, and what holds on
 * all of them: each with the tests that show it.
 */

import { withBroker } from "../services/broker.ts";
import { inMemory, onPostgres } from "./accounting.ts";
import { overBridges } from "./bridge.ts";
import { betweenServers, forSlowReaders, inQueues } from "./brokers.ts";
import { powerCut, uncleanElection } from "./kafka.ts";
import { ofNats, ofPostgres, ofRabbit, ofRedis } from "./logs.ts";
import { atReplicas, betweenNodes } from "./nodes.ts";
import { betweenThreads } from "./threads.ts";

/** A test: its file, and its title as the source has it. */
export type Shown = readonly [file: string, title: string];

/** The last cell of a row. */
export interface Loss {
  readonly cell: string;
  /** The broker that must be there. */
  readonly broker?: string;
  /** Registers the tests that make it happen. */
  readonly shows: readonly (() => void)[];
  /** Other tests: they show that nothing else is lost. */
  readonly elsewhere: readonly Shown[];
}

/** What every broker without a log is put through. */
const WITHOUT_LOG: readonly Shown[] = [
  ["backends/faults.ts", "a cut connection is a gap, told at once, and the stream goes on"],
  ["backends/faults.ts", "a half-open connection is found by the probe"],
  ["backends/faults.ts", "a broker that restarts: every channel is back, each with a gap"],
  [
    "conformance/delivery.ts",
    "a stalled subscriber delays nobody, and is told what it missed",
  ],
];
/** What every broker with a log is put through. */
const WITH_LOG: readonly Shown[] = [
  [
    "backends/faults.ts",
    "a cut connection loses nothing, not what others publish meanwhile either",
  ],
  ["backends/faults.ts", "a half-open connection is found by the probe, and nothing is lost"],
  ["backends/faults.ts", "a broker that restarts: every channel is back, and misses nothing"],
  [
    "backends/faults.ts",
    "a broker restarts at one third and one half of 10,000 events: none is lost unsaid",
  ],
  ["conformance/replaying.ts", "a stalled subscriber delays nobody, and misses nothing"],
];

/** By the first scheme of the row. */
export const LOSSES: Readonly<Record<string, Loss>> = {
  "memory": {
    cell: "nothing",
    shows: [inMemory],
    elsewhere: [
      // With a log, and without one, where what is missed is counted to the last event.
      ["conformance/replaying.ts", "a stalled subscriber delays nobody, and misses nothing"],
      [
        "conformance/delivery.ts",
        "a stalled subscriber delays nobody, and is told what it missed",
      ],
      ["core/fanout/recovery_test.ts", "an id, the tail being ${tail}: ${title}"],
      [
        "core/api/broadcast_test.ts",
        "one turn may bring more than may wait: that is a gap, and never silence",
      ],
      ["core/log/model_test.ts", "model: subscribers of a log lose, repeat and reorder nothing"],
    ],
  },
  // Shown on Deno. Browsers and Node promise no more, and lose nothing on demand.
  "broadcast-channel": {
    cell: "messages that the platform loses between threads",
    shows: [betweenThreads],
    elsewhere: [[
      "backends/broadcast_channel/pubsub_test.ts",
      "a worker and this thread hear each other",
    ]],
  },
  // No Redis before 7 is at hand: one whose new commands are taken away does as that did.
  "redis": {
    cell: "messages lost on the way to a replica, or between nodes of a cluster before Redis 7",
    broker: "redis",
    shows: [atReplicas, betweenNodes],
    elsewhere: [
      ...WITHOUT_LOG,
      ["backends/redis/sentinel_test.ts", "redis: a master that ${how} is a gap"],
      [
        "backends/redis/cluster/channels_test.ts",
        "a slot that moves is a gap on its channels, and loses nothing unsaid",
      ],
      [
        "backends/redis/cluster/channels_test.ts",
        "a master that dies is a gap on its channels alone, and its replica takes over",
      ],
    ],
  },
  "redis-stream": {
    cell: "events not yet stored at a crash or a failover, unless already received",
    broker: "redis",
    shows: [ofRedis],
    elsewhere: [
      ...WITH_LOG,
      ["backends/redis/sentinel_test.ts", "redis-stream: a master that ${how} is none"],
      ["backends/redis/cluster/streams_test.ts", "a slot that moves loses nothing, and is no gap"],
    ],
  },
  "postgres": {
    cell: "nothing",
    broker: "postgres",
    shows: [onPostgres],
    elsewhere: WITHOUT_LOG,
  },
  "postgres-stream": {
    cell:
      "events not yet stored at a failover, or with `synchronous_commit=off` at a crash, unless already received",
    broker: "postgres",
    shows: [ofPostgres],
    elsewhere: WITH_LOG,
  },
  // A machine that loses its power cannot be had here: its disk is set back to where it was.
  "kafka": {
    cell: "events lost by an unclean leader election or a power cut, unless already received",
    broker: "kafka",
    shows: [uncleanElection, powerCut],
    elsewhere: [
      ...WITH_LOG,
      [
        "backends/kafka/failover_test.ts",
        "a leader that dies in the middle of 2,000 events takes none along",
      ],
    ],
  },
  // The count has a hole where messages of one publisher lie on both sides of what is lost.
  "amqp": {
    cell:
      "messages dropped by a queue's policy, unless a later message of the same publisher shows it",
    broker: "amqp",
    shows: [inQueues],
    elsewhere: [
      ...WITHOUT_LOG,
      [
        "backends/amqp/pubsub/pubsub_test.ts",
        "a hole in a publisher's numbers is a gap with the exact count",
      ],
      [
        "backends/amqp/pubsub/pubsub_test.ts",
        "the user's connection is used, never closed; a queue that goes is a gap",
      ],
    ],
  },
  // Here, and below, it is the disk that is set back.
  "amqp-stream": {
    cell: "events not yet stored at a crash of the machine, unless already received",
    broker: "amqp",
    shows: [ofRabbit],
    elsewhere: [
      ...WITH_LOG,
      ["backends/amqp/log/regressions_test.ts", "a tail that is outrun says so"],
      [
        "backends/amqp/log/regressions_test.ts",
        "a stream that is deleted is made again, and every reader is told",
      ],
    ],
  },
  "mqtt": {
    cell:
      "messages dropped by a server or bridge, unless a later message of the same publisher shows it",
    broker: "mqtt",
    shows: [forSlowReaders, overBridges],
    elsewhere: [
      ...WITHOUT_LOG,
      [
        "backends/mqtt/pubsub_test.ts",
        "what the server drops for a slow reader is counted exactly",
      ],
    ],
  },
  "nats": {
    cell: "messages lost between servers, unless a later message of the same publisher shows it",
    broker: "nats",
    shows: [betweenServers],
    elsewhere: [
      ...WITHOUT_LOG,
      [
        "backends/nats/pubsub/wire_test.ts",
        "a subscriber that the server finds too slow has a gap",
      ],
    ],
  },
  "nats-stream": {
    cell: "events not yet stored at a crash of the machine, unless already received",
    broker: "nats",
    shows: [ofNats],
    elsewhere: [
      ...WITH_LOG,
      ["backends/nats/log/interop_test.ts", "a server that restarts without its data says so"],
    ],
  },
};

/** What holds on every broker: each with the tests that show it. */
export const PROMISES: Readonly<Record<string, readonly Shown[]>> = {
  "what is published after subscribe() has resolved is received": [
    ["conformance/delivery.ts", "what is published once subscribe() has resolved arrives"],
    ["conformance/delivery.ts", "two broadcasts hear each other"],
  ],
  "all subscribers of a channel see one order, or that of each publisher": [[
    "conformance/delivery.ts",
    "concurrent publishers: the same order at all subscribers, or that of each",
  ]],
  "the messages of one publisher keep their order": [
    ["conformance/delivery.ts", "every subscriber gets every event, with the same ids"],
    ["conformance/delivery.ts", "a publisher's order holds without awaiting"],
    ["conformance/delivery.ts", "a publisher's order holds from the first use on"],
  ],
  "a process opens one connection per role": [
    ["backends/connections_test.ts", "${scheme}: ${CHANNELS} channels share ${roles} connection"],
    [
      "backends/kafka/connections_test.ts",
      "kafka: ${CHANNELS} channels share 2 connections to each broker",
    ],
  ],
};

/** Registers the tests that make the losses of some backends happen. */
export function showLosses(...schemes: string[]): void {
  for (const scheme of schemes) {
    const { broker, shows } = LOSSES[scheme]!;
    const register = () => shows.forEach((show) => show());
    if (broker) withBroker(broker, register);
    else register();
  }
}
