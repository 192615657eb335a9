import { Address } from "../address.ts";
import { KafkaBackend } from "../backends/kafka.ts";
async function attempt(url: string) {
  const t = performance.now();
  let b: KafkaBackend | undefined;
  try {
    b = new KafkaBackend(new Address(url));
    await b.connect();
    const topic = "a" + crypto.randomUUID().slice(0, 6);
    const tail = await b.tail(topic);
    const r = tail.records.getReader();
    await b.publish(topic, ["hi"]);
    const v = await r.read();
    console.log(url.slice(0, 60), "OK", v.value?.length, (performance.now() - t).toFixed(0));
  } catch (e) {
    const x = e as any;
    console.log(
      url.slice(0, 60),
      "->",
      x.name,
      "|",
      x.message,
      "| cause",
      x.cause?.name,
      (performance.now() - t).toFixed(0),
    );
  }
  await b?.close();
}
await attempt("kafka://alice:secret@127.0.0.1:21003?sasl=plain");
await attempt("kafka://alice:secret@127.0.0.1:21003");
await attempt("kafka://bob:secret@127.0.0.1:21003?sasl=scram-sha-256");
await attempt("kafka://bob:secret@127.0.0.1:21003?sasl=scram-sha-512");
await attempt("kafka://bob:wrong@127.0.0.1:21003?sasl=scram-sha-512");
await attempt("kafka://alice:wrong@127.0.0.1:21003");
await attempt("kafka://127.0.0.1:21003");
await attempt("kafka://alice:secret@127.0.0.1:21001");
await attempt("kafka://localhost:21004?tls=true&ca=/tmp/kscratch/cert.pem");
await attempt("kafka://localhost:21004?tls=true");
await attempt("kafka://localhost:21004");
await attempt("kafka://127.0.0.1:21001?tls=true");
await attempt("kafka://127.0.0.1:1");
await attempt("kafka://127.0.0.1:1,127.0.0.1:19078");
await attempt("kafka://10.255.255.1:9092");
await attempt("kafka://127.0.0.1?sasl=plain");
await attempt("kafka://127.0.0.1?sasl=foo");
await attempt("kafka://u@127.0.0.1");
await attempt("kafka://127.0.0.1:19078?create=false");
await attempt("kafka://127.0.0.1:19078?replication=3");
await attempt("kafka://127.0.0.1:19082?replication=1");
await attempt("kafka://127.0.0.1:19082?ca=/nope");
const b = new KafkaBackend(new Address("kafka://127.0.0.1:19082"));
for (const c of ["", "a b", ".", "..", "é", "a".repeat(250), "a".repeat(249), "ok-._Z9"]) {
  try {
    b.check(c);
    console.log("ok", c.length);
  } catch (e) {
    console.log(
      (e as Error).name,
      (e as Error).message.slice(0, 60),
      "…",
      (e as Error).message.slice(-80),
    );
  }
}
try {
  new KafkaBackend(new Address("kafka://h"), { client: {} });
} catch (e) {
  console.log(String(e));
}
