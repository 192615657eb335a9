/** What a broker tells of itself: the release is inferred from the versions of its requests. */

import { assertEquals, assertMatch } from "@std/assert";
import { kafka } from "../../../backends/kafka/log.ts";
import { withBroker } from "../../services/broker.ts";

/** The facts about the server of a URL. */
async function factsAt(url: string): Promise<Readonly<Record<string, string>>> {
  const backend = await kafka({ url }).open();
  try {
    await backend.connect!();
    return await backend.describe!();
  } finally {
    await backend.close();
  }
}

withBroker("kafka", (url) => {
  Deno.test("kafka: a server tells its brokers, and a release that it has reached", async () => {
    const { server, ...facts } = await factsAt(url);
    assertMatch(server!, /^Kafka, with the protocol of \d+\.\d+ or later$/);
    assertEquals(facts, { brokers: new URL(url).host, TLS: "no" });
  });
});

withBroker("kafka4", (url) => {
  Deno.test("kafka: a server of 4.1 has the protocol of 4.1", async () => {
    assertEquals((await factsAt(url)).server, "Kafka, with the protocol of 4.1 or later");
  });
});
