import { Address } from "../address.ts";
import { KafkaBackend } from "../backends/kafka.ts";
import process from "node:process";
for (const server of ["127.0.0.1:19078", "127.0.0.1:19082"]) {
  const b = new KafkaBackend(new Address("kafka://" + server));
  const n = "n" + crypto.randomUUID().slice(0, 8);
  let t = performance.now();
  await b.connect();
  const c = performance.now() - t;
  t = performance.now();
  const tail = await b.tail(n);
  const r = performance.now() - t;
  const reader = tail.records.getReader();
  const ps = [];
  for (let i = 0; i < 5000; i++) ps.push(b.publish(n, ["m" + i]));
  await Promise.all(ps);
  const got: string[] = [];
  while (got.length < 5000) {
    for (const x of (await reader.read()).value!) {
      got.push(new TextDecoder().decode(x.payload as Uint8Array));
    }
  }
  console.log(
    "node",
    process.version,
    server,
    c.toFixed(0),
    r.toFixed(0),
    got.every((g, i) => g === "m" + i),
    got.length,
  );
  const cpu = process.cpuUsage();
  await new Promise((r) => setTimeout(r, 2000));
  const d = process.cpuUsage(cpu);
  console.log("idle cpu ms/s", (d.user + d.system) / 2000);
  await b.close();
  console.log((process as any).getActiveResourcesInfo?.());
}
