import kafkajs from "npm:kafkajs@2.2.4";
const { Kafka } = kafkajs as any;
for (const server of ["127.0.0.1:19078", "127.0.0.1:19082"]) {
  const kafka = new Kafka({ brokers: [server], logLevel: 0 });
  const admin = kafka.admin();
  await admin.connect();
  const topic = "g" + crypto.randomUUID().slice(0, 8);
  await admin.createTopics({ topics: [{ topic, numPartitions: 1 }] });
  await admin.disconnect();
  for (let i = 0; i < 2; i++) {
    const t = performance.now();
    const c = kafka.consumer({ groupId: "g" + crypto.randomUUID() });
    await c.connect();
    await c.subscribe({ topic });
    const joined = new Promise((r) => c.on(c.events.GROUP_JOIN, r));
    await c.run({ eachMessage: async () => {} });
    await joined;
    console.log(server, "group joined in", (performance.now() - t).toFixed(0));
    await c.disconnect();
  }
}
