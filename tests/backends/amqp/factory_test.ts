/** `amqp()` and `amqpStream()`: their options, and the clients that they refuse. */

import { assertEquals, assertThrows } from "@std/assert";
import * as amqplib from "amqplib";
import { type ChannelModel, connect } from "amqplib";
import { connect as connectWithCallback } from "npm:amqplib@^2.3.1/callback_api";
import { amqpStream } from "../../../backends/amqp/log.ts";
import { amqp } from "../../../backends/amqp/pubsub.ts";
import type { BackendSource } from "../../../core/backend/contract.ts";
import { Broadcast } from "../../../mod.ts";
import { messages, uniqueChannel } from "../../conformance/harness.ts";
import { withBroker } from "../../services/broker.ts";
import { removeStreams } from "./log/remove.ts";

const WANTED = "Cannot use client: it must be a connection of amqplib, await connect(url), it is";

const FACTORIES = { amqp, amqpStream };

/** Methods of a client of another library. */
function having(...names: string[]): object {
  return Object.fromEntries(names.map((name) => [name, () => {}]));
}

/** Values that are no connection of amqplib, and their names in the message. */
const WRONG: Record<string, readonly [given: unknown, shown: string]> = {
  "a promise": [Promise.resolve(), "a promise, await it first"],
  "the module": [amqplib, "the module amqplib, call its connect()"],
  "another module": [
    await import("../../../core/util/kind.ts"),
    "a module",
  ],
  "a class": [class {}, "a class, call it with new"],
  "null": [null, "null"],
  "a URL": ["amqp://localhost", "a string"],
  "an empty object": [{}, "an Object without a method createChannel()"],
  "a manager of amqp-connection-manager": [
    having("createChannel", "isConnected", "reconnect", "close", "on", "off"),
    "a manager of amqp-connection-manager",
  ],
  "a connection of rabbitmq-client": [
    having("acquire", "createConsumer", "createPublisher", "close", "on", "off"),
    "a connection of rabbitmq-client",
  ],
};

for (const [name, factory] of Object.entries(FACTORIES)) {
  for (const [kind, [given, shown]] of Object.entries(WRONG)) {
    Deno.test(`${name}(): ${kind} is refused as a client`, () => refuses(factory, given, shown));
  }

  Deno.test(`${name}(): a URL of another scheme is refused`, () => {
    assertThrows(() => factory({ url: "redis://localhost" }), TypeError, "its scheme must be amqp");
  });
}

Deno.test("amqp(): options are parameters of the URL, which win over options", () => {
  const { address } = amqp({ url: "amqps://host?ca=theirs", ca: "ours", exchange: "chat" });
  assertEquals(parametersOf(address), { ca: "theirs", exchange: "chat" });
});

Deno.test("amqpStream(): options are parameters of the URL, which win over options", () => {
  const limits = { retention: "12h", maxBytes: 1_000, segmentBytes: 2_000 } as const;
  const { address } = amqpStream({ url: "amqp-stream://host?maxBytes=5", cert: "c", ...limits });
  assertEquals(parametersOf(address), {
    ...{ maxBytes: "5", cert: "c" },
    ...{ retention: "12h", segmentBytes: "2000" },
  });
});

Deno.test("amqpStream(): a retention in milliseconds may be of any length", () => {
  for (const retention of [0, 1, 1_500, 30 * 24 * 60 * 60 * 1_000]) {
    assertEquals(amqpStream({ retention }).address.duration("retention"), retention);
  }
});

withBroker("amqp", (url) => {
  for (const [name, factory] of Object.entries(FACTORIES)) {
    Deno.test(`${name}(): a connection with callbacks, and one that recovers, are refused`, async () => {
      const withCallbacks = await new Promise<{ close(callback: () => void): void }>(
        (resolve, reject) =>
          connectWithCallback(
            url,
            (error: unknown, connection: unknown) =>
              error ? reject(error) : resolve(connection as { close(callback: () => void): void }),
          ),
      );
      refuses(factory, withCallbacks, "a connection of amqplib/callback_api");
      await new Promise<void>((resolve) => withCallbacks.close(resolve));
      const recovering = await connect(url, { recovery: true });
      refuses(
        factory,
        recovering,
        "a connection that recovers by itself, connect without the option recovery",
      );
      await recovering.close();
    });

    Deno.test(`${name}(): a channel is refused as a client`, async () => {
      const client = await connect(url);
      refuses(factory, await client.createChannel(), "a channel, give its connection");
      refuses(factory, client.connection, "a Connection without a method createChannel()");
      await client.close();
    });

    Deno.test(`${name}(): options of a connection are refused beside a client`, async () => {
      const client = await connect(url);
      for (const option of ["ca", "cert", "key"]) {
        assertThrows(
          () => factory({ client, [option]: "path" }),
          TypeError,
          `Cannot use parameter "${option}": a client is given, which has its own`,
        );
      }
      await client.close();
    });

    Deno.test(`${name}(): events travel between a URL and a client`, async () => {
      const channel = uniqueChannel();
      const client = await connect(url);
      {
        await using byUrl = new Broadcast(
          factory({ url: url.replace(/^amqp/, name === "amqp" ? "amqp" : "amqp-stream") }),
        );
        await using byClient = new Broadcast(factory({ client }));
        const subscription = await byClient.subscribe(channel);
        await byUrl.publish(channel, "hello");
        assertEquals(await messages(subscription, 1), ["hello"]);
      }
      await client.close();
      if (name === "amqpStream") await removeStreams(url, [channel]);
    });
  }
});

function refuses(
  factory: (options: { client: ChannelModel }) => BackendSource,
  given: unknown,
  shown: string,
): void {
  const error = assertThrows(() => factory({ client: given as ChannelModel }), TypeError);
  assertEquals(error.message, `${WANTED} ${shown}`);
}

function parametersOf({ parameters }: BackendSource["address"]): Record<string, string> {
  return Object.fromEntries(parameters);
}
