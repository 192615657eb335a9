/** Brokers with TLS, and the clients that they accept. */

import { assertEquals, assertRejects } from "@std/assert";
import { KafkaBackend } from "../../../backends/kafka/log.ts";
import { Address } from "../../../core/backend/address.ts";
import { Broadcast, ConnectionError, RefusedError } from "../../../mod.ts";
import { messages, uniqueChannel, within } from "../../conformance/harness.ts";
import { withBroker } from "../../services/broker.ts";
import { start } from "../../services/kafka.ts";
import { Certificates } from "./certificates.ts";
import { Outsider } from "./outsider.ts";
import { silent } from "./silent.ts";

/** Cases on TLS. */
function tls(): void {
  Deno.test("kafka: TLS, with certificates of clients or with passwords", async (t) => {
    await using certificates = await Certificates.make();
    const starting = [
      start({
        properties: {
          ...certificates.broker("SSL"),
          "ssl.client.auth": "required",
          "auto.create.topics.enable": "false",
          "num.partitions": "4",
        },
      }),
      start({
        user: { name: "alice", password: "right" },
        properties: certificates.broker("SASL_SSL"),
      }),
    ] as const;
    await using server = await starting[0];
    await using locked = await starting[1];
    const { url, port } = server;
    const address = `kafka://127.0.0.1:${port}`;
    await t.step("a certificate that its authority vouches for connects", async () => {
      await using broadcast = new Broadcast(`${url}?${certificates.parameters("client")}`);
      const channel = uniqueChannel();
      await hello(broadcast, channel);
      // Topics are made as they should be, whatever the broker's default is.
      await using outsider = new Outsider(server.url, {
        ca: await certificates.read("ca.cert"),
        cert: await certificates.read("client.cert"),
        key: await certificates.read("client.key"),
      });
      assertEquals(await outsider.counts(channel), [1]);
    });
    for (
      const [whose, name, code] of [
        ["no certificate", undefined, "ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE"],
        [
          "a certificate that nobody vouches for",
          "stranger",
          "ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN",
        ],
      ] as const
    ) {
      await t.step(`${whose} is a refusal`, async () => {
        await using broadcast = new Broadcast(`${url}?${certificates.parameters(name)}`);
        const error = await assertRejects(() => broadcast.connect(), RefusedError);
        assertEquals(
          error.message,
          `Cannot connect to ${address}: 127.0.0.1:${port} does not accept the certificate of this client, or its having none (${code})`,
        );
      });
    }
    await t.step("a broker of an unknown authority is a refusal", async () => {
      await using broadcast = new Broadcast(`${url}?tls=true`);
      const error = await assertRejects(() => broadcast.connect(), RefusedError);
      assertEquals(
        error.message,
        `Cannot connect to ${address}: the certificate of 127.0.0.1:${port} is not trusted: self-signed certificate in certificate chain, name its authority with ?ca=`,
      );
    });
    await t.step("a broker of another name is a refusal", async () => {
      const named = url.replace("127.0.0.1", "localhost");
      await using broadcast = new Broadcast(`${named}?${certificates.parameters("client")}`);
      const error = await assertRejects(() => broadcast.connect(), RefusedError);
      assertEquals(
        error.message,
        `Cannot connect to kafka://localhost:${port}: the certificate of localhost:${port} is not trusted: Hostname/IP does not match certificate's altnames: Host: localhost. is not cert's CN: broker`,
      );
    });
    await t.step("without TLS there is no answer", async () => {
      await using broadcast = new Broadcast(url);
      const error = await assertRejects(() => broadcast.connect(), ConnectionError);
      assertEquals(error.message, `Cannot connect to ${address}: ${silent(port)}`);
    });
    for (const sasl of ["plain", "scram-sha-512"]) {
      await t.step(`${sasl}, over TLS`, async () => {
        const url = `${locked.url}?sasl=${sasl}&${certificates.parameters()}`;
        await using broadcast = new Broadcast(url);
        await hello(broadcast, uniqueChannel());
        await using stranger = new Broadcast(url.replace("right", "s3cret"));
        const error = await assertRejects(() => stranger.connect(), RefusedError);
        assertEquals(Deno.inspect(error, { depth: 10 }).includes("s3cret"), false);
      });
    }
  });

  Deno.test("kafka: a file that cannot be read is a TypeError, named by its parameter", async () => {
    await using certificates = await Certificates.make();
    for (const name of ["ca", "cert", "key"]) {
      const url = `kafka://user:s3cret@127.0.0.1:1?${name}=/no/such/file`;
      const message =
        `Cannot open "kafka://127.0.0.1:1": parameter "${name}" must be the path of a file that can be read, it is "/no/such/file"`;
      await using broadcast = new Broadcast(url);
      assertEquals((await assertRejects(() => broadcast.connect(), TypeError)).message, message);
      const backend = new KafkaBackend(new Address(url));
      assertEquals((await assertRejects(() => backend.connect(), TypeError)).message, message);
      await backend.close();
    }
    const folder = certificates.path(".");
    await using broadcast = new Broadcast(`kafka://127.0.0.1:1?ca=${folder}`);
    await assertRejects(() => broadcast.connect(), TypeError);
  });
}

async function hello(broadcast: Broadcast, channel: string): Promise<void> {
  const subscription = await broadcast.subscribe(channel);
  await broadcast.publish(channel, "hello");
  assertEquals(await within(messages(subscription, 1)), ["hello"]);
}

withBroker("kafka", () => tls());
