import { Address } from "../address.ts";
import { KafkaBackend } from "../backends/kafka.ts";
import kafkajs from "npm:kafkajs@2.2.4";
const { Kafka } = kafkajs as any;
const uid = () => "l" + crypto.randomUUID().slice(0, 8);
for (const server of ["127.0.0.1:19078", "127.0.0.1:19082"]) {
  Deno.test("leak " + server, async () => {
    const b = new KafkaBackend(new Address("kafka://" + server));
    const n = uid();
    const t = await b.tail(n);
    await b.publish(n, ["a"]);
    const r = t.records.getReader();
    await r.read();
    await r.cancel();
    const t2 = await b.tail(n);
    const n2 = uid();
    await b.tail(n2);
    await t2.records.cancel();
    await b.publish(n2, ["b"]);
    await b.close();
  });
  Deno.test("leak own client " + server, async () => {
    const lines: string[] = [];
    const client = new Kafka({
      brokers: ["127.0.0.1:1", server],
      clientId: "mine",
      logCreator: () => (e: any) => lines.push(e.level + " " + e.log.message),
    });
    const b = new KafkaBackend(new Address("kafka://ignored"), { client });
    const n = uid();
    const t = await b.tail(n);
    await b.publish(n, ["a"]);
    const r = t.records.getReader();
    await r.read();
    await b.close();
    console.log(lines);
  });
}
Deno.test("leak unreachable", async () => {
  const b = new KafkaBackend(new Address("kafka://127.0.0.1:1"));
  await b.connect().catch(() => {});
  await b.close();
});
Deno.test("leak close while connecting", async () => {
  const b = new KafkaBackend(new Address("kafka://127.0.0.1:19078"));
  const c = b.connect().catch(() => {});
  await new Promise((r) => setTimeout(r, 2));
  await b.close();
  await c;
});
Deno.test("leak close while tailing", async () => {
  const b = new KafkaBackend(new Address("kafka://127.0.0.1:19078"));
  await b.connect();
  const c = b.tail(uid()).catch(() => {});
  await new Promise((r) => setTimeout(r, 3));
  await b.close();
  await c;
});
Deno.test("leak never used", async () => {
  const b = new KafkaBackend(new Address("kafka://127.0.0.1:19078"));
  await b.close();
});
